//! Kills without end: `make soak`, or `cargo run --release -p aquatope-service --example soak -- [kills]` after `make kafka`.
//!
//! Readers of a topic of Apache Kafka are killed with SIGKILL at random instants and started again; the windows they
//! leave behind are compared with those of the load, window by window. It stops at the first difference.

#[path = "../tests/kafka/broker.rs"]
#[allow(dead_code)]
mod broker;
#[path = "../tests/kafka/kills.rs"]
mod kills;
#[path = "../tests/kafka/load.rs"]
#[allow(dead_code)]
mod load;
#[path = "../tests/kafka/reader.rs"]
#[allow(dead_code)]
mod reader;

use broker::Cluster;
use load::past_runs;

fn main() {
    reader::run_child();
    let kills = std::env::args().nth(1).map_or(200, |text| text.parse().expect("a number of kills"));
    let cluster = Cluster::start(1);
    let runs = past_runs(500, 300_000, 60, 1);
    let in_the_middle = kills::kill_readers(&cluster, "soak", &runs, kills, 2);
    println!("{kills} kills, {in_the_middle} of them in the middle; nothing lost, nothing doubled");
}
