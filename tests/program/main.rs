//! The program as its users have it: the built binary, its files, its exit codes.

mod bounds;
mod clients;
mod cluster;
mod crash;
mod damage;
mod demo;
mod documents;
mod eventstoredb;
mod help;
mod program;
mod serve;
mod tools;
