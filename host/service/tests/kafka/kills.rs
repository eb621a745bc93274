//! SIGKILL at random instants while a backlog is read: in the middle of a message, of a transaction, of the start.

use std::os::unix::process::ExitStatusExt;
use std::thread;
use std::time::Duration;

use aquatope_service::store::Store;
use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::broker::Cluster;
use crate::load::{Run, Windows, after, send, truth};
use crate::reader::{assert_same, has_windows, spawn_child, wait_for_windows, windows};

/// Its number on every Unix.
const SIGKILL: i32 = 9;

/// After so many kills a reader is left in peace, and its windows are compared.
const A_ROUND: u32 = 8;

/// Kill readers of `runs` at least `kills` times. Returns how many kills came after the first and before the last
/// window was stored.
pub(crate) fn kill_readers(cluster: &Cluster, topic: &str, runs: &[Run], kills: u32, seed: u64) -> u32 {
    cluster.create_topic(topic, 2, &[]);
    send(&cluster.brokers(), topic, 2, runs);
    let expected = truth(runs);
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let (mut killed, mut in_the_middle) = (0, 0);
    while killed < kills {
        let round = one_round(cluster, topic, runs, &expected, &mut rng);
        killed += round.0;
        in_the_middle += round.1;
    }
    in_the_middle
}

fn one_round(
    cluster: &Cluster,
    topic: &str,
    runs: &[Run],
    expected: &Windows,
    rng: &mut Xoshiro256PlusPlus,
) -> (u32, u32) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state");
    let open = after(runs);
    let (mut killed, mut in_the_middle) = (0, 0);
    loop {
        let mut child = spawn_child(&cluster.brokers(), topic, &path, open);
        if killed == 0 {
            // However slow the machine, the first kill of a round finds something stored.
            wait_for_windows(&mut child);
        }
        if killed < A_ROUND {
            // Reading goes on about a quarter of a second after a start.
            let most = if killed == 0 { 100 } else { 800 };
            thread::sleep(Duration::from_millis(rng.next_u64() % most));
            let _ = child.kill();
        }
        let ended = child.wait().unwrap();
        if ended.success() {
            break;
        }
        assert_eq!(ended.signal(), Some(SIGKILL), "a reader failed by itself");
        killed += 1;
        let store = Store::open(&path, 15).unwrap();
        let stored = store.restored(topic).unwrap().open;
        in_the_middle += u32::from(has_windows(&store) && stored.is_some_and(|minute| minute < open));
    }
    assert_same(&windows(&Store::open(&path, 15).unwrap()), expected);
    (killed, in_the_middle)
}
