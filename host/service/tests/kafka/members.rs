//! Several instances in one consumer group.

use aquatope_service::source::Duty;

use crate::load::{past_runs, send};
use crate::reader::{Reader, kafka};
use crate::tests::{cluster, state};

/// The second instance of a group stands by, and acts when the first one is gone.
pub(crate) fn one_instance_of_a_group_acts() {
    let shared = cluster();
    let cluster = shared.as_ref().unwrap();
    cluster.create_topic("duty", 2, &[]);
    send(&cluster.brokers(), "duty", 2, &past_runs(3, 100, 5, 11));
    let ((_folder, path), (_other_folder, other_path)) = (state(), state());
    let config =
        aquatope_service::config::Kafka { group: "on-duty".into(), ..kafka(&cluster.brokers(), "duty") };
    let start = |path| Reader::with(&config, path, aquatope_service::clock::Clock::system(), None);
    let mut first = start(&path);
    first.wait("it is alone", |status| status.duty == Duty::Ours);
    let mut second = start(&other_path);
    second.wait("it sees the first", |status| status.duty == Duty::Another);
    second.wait("it reads nevertheless", |status| status.counters.activations == 100);
    assert_eq!(first.wait("the group agrees", |status| status.duty != Duty::Unknown).duty, Duty::Ours);
    drop(first);
    second.wait("it takes over", |status| status.duty == Duty::Ours);
}
