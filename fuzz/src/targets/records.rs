//! Bytes as the answers of OpenWhisk's REST interfaces.

use aquatope_openwhisk::invoker::{ContainerPool, StemCells};
use aquatope_openwhisk::records::{Action, Limits, NamespaceLimits, Record, System};
use serde_json::from_slice;

/// See the head of the module.
pub fn run(bytes: &[u8]) {
    let one = from_slice::<Record>(bytes).into_iter();
    for record in one.chain(from_slice::<Vec<Record>>(bytes).into_iter().flatten()) {
        assert!(record.init_ms() >= 0 && record.execution_ms() >= 0, "{record:?}");
        let _ = (record.path(), record.kind(), record.wait_ms(), record.memory_mb(), record.status());
    }
    if let Ok(action) = from_slice::<Action>(bytes) {
        assert!(action.components().iter().all(|name| !name.starts_with('/')));
        let _ = action.kind();
        let limits = serde_json::to_vec(&action.limits).expect("limits are plain");
        let read: Limits = from_slice(&limits).expect("what was written is read back");
        assert_eq!(read, action.limits);
    }
    if let Ok(limits) = from_slice::<NamespaceLimits>(bytes) {
        let _ = limits.action_memory_mb();
    }
    if let Ok(system) = from_slice::<System>(bytes) {
        let _ = system.limit("actions_per_minute");
    }
    let _ = from_slice::<ContainerPool>(bytes);
    let _ = from_slice::<Vec<StemCells>>(bytes);
}

/// Well-formed inputs.
pub fn seeds() -> Vec<Vec<u8>> {
    [
        r#"[{"activationId":"0a","namespace":"guest","name":"f","version":"0.0.1","start":1.7e12,"end":1700000000200,"duration":200,"statusCode":0,"annotations":[{"key":"path","value":"guest/p/f"},{"key":"kind","value":"python:3"},{"key":"initTime","value":30},{"key":"waitTime","value":-4},{"key":"limits","value":{"memory":256}}]}]"#,
        r#"{"activationId":"0a","name":"f","start":1700000000000,"response":{"status":"application error","result":{"error":1},"size":9},"logs":["0b"],"cause":"0c"}"#,
        r#"{"namespace":"guest/p","name":"f","version":"0.0.1","exec":{"kind":"sequence","components":["/guest/a","guest/b"]},"parameters":[],"limits":{"timeout":60000,"memory":256,"logs":10,"concurrency":1,"cpu":0.5},"annotations":[]}"#,
        r#"{"invocationsPerMinute":60,"concurrentInvocations":30,"warmedContainerKeepingCount":2,"storeActivations":true,"minActionMemory":"128 MB","maxActionMemory":536870912}"#,
        r#"{"description":"OpenWhisk","limits":{"actions_per_minute":60,"max_action_memory":536870912},"runtimes":{"python":[{"kind":"python:3","default":true}]}}"#,
        r#"{"totalContainers":3,"inProgressCount":0,"prewarmedPool":{"total":1,"countsByKind":{"python:3":1}},"busyPool":{"total":1,"containers":[{"containerId":"c","namespace":"guest","action":"f","kind":"python:3"}]}}"#,
        r#"[{"kind":"python:3","memory":256,"number":2}]"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .into()
}
