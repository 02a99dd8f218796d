//! The program as its users have it: the built binary, its files, its exit codes.

mod backup;
mod bounds;
mod clients;
mod cluster;
mod copy;
mod crash;
mod damage;
mod demo;
mod doctor;
mod documents;
mod eventstoredb;
mod faults;
mod help;
mod metrics;
mod operations;
mod program;
mod rebuilds;
mod serve;
mod tools;
mod traces;
