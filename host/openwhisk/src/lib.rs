//! Apache OpenWhisk as an outside program meets it: what it writes to Kafka and what can be asked of it over HTTP.
//!
//! [`event`] decodes the topic `events`. [`rest::Client`] speaks the public REST interface. [`controller`] and [`invoker`]
//! are the operators' side: the runtimes endpoint of pull request 4790, stem cells and the pools of the
//! function-pulling engine. [`manifest`] edits a runtimes manifest. [`subjects`] sets limits in CouchDB. [`fnv`] makes
//! numbers of names. Nothing here decides anything, keeps state or reads a clock.
//!
//! Secrets are held in [`credentials::Secret`], which no `Debug` or error text shows.

#![forbid(unsafe_code)]

pub mod controller;
pub mod credentials;
pub mod error;
pub mod event;
pub mod fnv;
mod http;
pub mod invoker;
pub mod manifest;
pub mod records;
pub mod rest;
mod size;
pub mod subjects;
