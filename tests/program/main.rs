//! The program as its users have it: the built binary, its files, its exit codes.

mod backup;
mod bounds;
mod clients;
mod cluster;
mod crash;
mod damage;
mod demo;
mod documents;
mod help;
mod operations;
mod program;
mod serve;
mod tools;
