//! What the operator sets: one TOML file, environment variables over it, secrets from the environment or files only.
//!
//! `AQUATOPE_<SECTION>_<KEY>` overrides `key` of `[section]`; its value is TOML, or a plain string. Every key has a
//! default (`default.toml`, printed by `aquatope config`) except where the service has to reach something of the
//! operator's.

mod bounds;
mod check;
mod read;
pub(crate) mod secrets;
mod source;
#[cfg(test)]
mod tests;

pub use read::{DEFAULT, read, read_all};
pub use secrets::Secrets;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq, Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where state is kept.
    pub state: State,
    /// The platform's REST API.
    pub openwhisk: OpenWhisk,
    /// Where events come from.
    pub kafka: Kafka,
    /// Several instances that share the work.
    pub cluster: Cluster,
    /// How activations become minutes.
    pub windows: Windows,
    /// How forecasts become containers.
    pub pool: Pool,
    /// When models are trained.
    pub train: Train,
    /// How targets reach the platform.
    pub actuator: Actuator,
    /// Our own HTTP interface.
    pub http: Http,
    /// What is logged.
    pub log: Log,
    /// The workflows, as `[[workflow]]` tables.
    pub workflow: Vec<Workflow>,
}

/// `[state]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// Folder of the store; created when missing.
    pub directory: PathBuf,
    /// Days of windows kept.
    pub history_days: u32,
}

/// `[openwhisk]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OpenWhisk {
    /// Address of the API, such as `https://openwhisk.example:443`; empty: there is none, only Kafka.
    pub url: String,
    /// Address of a controller, for `/invokers` and `/config/runtime`; empty: the API's.
    pub controller_url: String,
    /// Addresses of the invokers' own servers (port 12001), for `/pool`.
    pub invoker_urls: Vec<String>,
    /// File that holds `uuid:key`; or set `AQUATOPE_OPENWHISK_AUTH`.
    pub auth_file: Option<PathBuf>,
    /// File that holds `user:password` of the controllers; or set `AQUATOPE_CONTROLLER_AUTH`.
    pub controller_auth_file: Option<PathBuf>,
    /// File that holds `user:password` of the invokers; or set `AQUATOPE_INVOKER_AUTH`.
    pub invoker_auth_file: Option<PathBuf>,
    /// Certificate authority, PEM, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Seconds a call may take.
    pub timeout_s: f64,
}

/// `[kafka]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub brokers: String,
    /// The topic of user events.
    pub topic: String,
    /// Our consumer group; never one of OpenWhisk's.
    pub group: String,
    /// Where a group without a position begins.
    pub start: Start,
    /// Transport and authentication.
    pub security: Security,
    /// SASL mechanism: `PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.
    pub sasl_mechanism: String,
    /// SASL user.
    pub username: String,
    /// File that holds the SASL password; or set `AQUATOPE_KAFKA_PASSWORD`.
    pub password_file: Option<PathBuf>,
    /// Certificate authority of the brokers, PEM.
    pub ca_file: Option<PathBuf>,
}

/// `[cluster]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// Whether the instances of `kafka.group` share the functions.
    pub enabled: bool,
    /// The compacted topic that holds the state.
    pub topic: String,
    /// Its partitions: what is shared out. It cannot be changed later.
    pub shards: i32,
    /// Seconds after which an instance that is not heard of is taken for dead.
    pub session_timeout_s: f64,
}

/// Where a consumer group without a position begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// With what the broker still has.
    Earliest,
    /// With what comes.
    Latest,
}

/// How brokers are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS.
    Ssl,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL over TLS.
    SaslSsl,
}

/// `[windows]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Windows {
    /// Seconds before it begins that a minute is planned.
    pub ahead_s: f64,
    /// Seconds after its end that a minute is final: at least the longest run plus the longest wait.
    pub final_after_s: f64,
    /// Seconds between the end of a run and its event (log collection); 0 where `limits.logs` is 0.
    pub event_delay_s: f64,
}

/// `[pool]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pool {
    /// Price of a cold start, in GB-minutes of idle memory.
    pub cold_start_cost: f64,
    /// Price of the first container's cold start; the same when absent.
    pub first_cold_start_cost: Option<f64>,
    /// Most containers of one function.
    pub most: u32,
    /// Memory of all containers together, MB; absent: no limit.
    pub capacity_mb: Option<f64>,
    /// Minutes a target was too high before it shrinks.
    pub patience: u16,
    /// Containers a target shrinks by in a minute, at most; absent: at once.
    pub step: Option<u32>,
    /// Seconds the observation may be behind before targets only grow.
    pub stale_after_s: f64,
    /// Functions that are managed, `namespace/[package/]action`; `*` stands for anything. Absent: all.
    pub functions: Vec<String>,
}

/// `[train]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Train {
    /// Whether models are trained at all.
    pub enabled: bool,
    /// Hours of history before the first training.
    pub first_after_h: f64,
    /// Hours between trainings.
    pub every_h: f64,
}

/// `[actuator]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Actuator {
    /// The back-end.
    pub kind: ActuatorKind,
    /// `runtimes` and `manifest-file`: the complete runtimes manifest, as the platform was started with.
    pub manifest: Option<PathBuf>,
    /// `manifest-file`: where the manifest with our counts is written.
    pub output: Option<PathBuf>,
    /// `runtimes` and `manifest-file`: invokers the counts are split over. Absent: all that `/invokers` says are up, though
    /// those set aside for black-box actions (10 % by default) get no manifest.
    pub invokers: Option<u32>,
    /// Seconds between changes, at least: idle stem cells are rebuilt at each.
    pub min_interval_s: f64,
    /// `warm-up`: the parameter that makes an action do nothing but wait; its value is for how long, ms.
    pub warm_up_parameter: String,
    /// `warm-up`: invocations a minute, at most; the namespace's rate limit is shared with users.
    pub warm_up_per_minute: u32,
    /// `warm-up`: minutes the platform keeps an idle container (`idle-container`).
    pub idle_container_min: f64,
    /// `keep-count`: address of CouchDB.
    pub couchdb_url: String,
    /// `keep-count`: its database of subjects.
    pub subjects_database: String,
    /// `keep-count`: file that holds `user:password`; or set `AQUATOPE_COUCHDB_AUTH`.
    pub couchdb_auth_file: Option<PathBuf>,
}

/// How targets reach the platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActuatorKind {
    /// They are shown only.
    DryRun,
    /// They are written into a runtimes manifest.
    ManifestFile,
    /// They are posted to `/config/runtime` (OpenWhisk patched with PR 4790).
    Runtimes,
    /// Overlapping invocations that do nothing.
    WarmUp,
    /// `warmedContainerKeepingCount` (function-pulling engine).
    KeepCount,
}

impl ActuatorKind {
    /// Whether what it sets is for all functions together, so that only one instance may set it.
    pub fn is_for_all(self) -> bool {
        match self {
            Self::DryRun | Self::WarmUp => false,
            Self::ManifestFile | Self::Runtimes | Self::KeepCount => true,
        }
    }
}

/// `[http]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Where we listen.
    pub listen: SocketAddr,
    /// File that holds the token that approvals need; or set `AQUATOPE_HTTP_TOKEN`. Without one nothing can be written.
    pub token_file: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, or a filter of `tracing`.
    pub filter: String,
    /// Lines of JSON instead of text.
    pub json: bool,
}

/// `[[workflow]]`
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// The workflow file.
    pub file: PathBuf,
    /// Namespace of its actions.
    #[serde(default = "guest")]
    pub namespace: String,
    /// Whether its configuration is searched for.
    #[serde(default)]
    pub tune: bool,
    /// Whether the winner is applied without being asked.
    #[serde(default)]
    pub apply: bool,
    /// The input of its first functions, as JSON.
    #[serde(default = "empty_object")]
    pub input: String,
    /// Samples of a trial.
    #[serde(default = "three")]
    pub samples: usize,
    /// Trials in all.
    #[serde(default = "forty")]
    pub trials: usize,
    /// Invocations of trials a minute, at most; the namespace's rate limit is shared with users.
    #[serde(default = "thirty")]
    pub per_minute: u32,
    /// Whether the platform keeps and obeys `limits.cpu`; upstream does not.
    #[serde(default)]
    pub cpu_limits: bool,
}

fn guest() -> String {
    "guest".into()
}

fn empty_object() -> String {
    "{}".into()
}

fn three() -> usize {
    3
}

fn thirty() -> u32 {
    30
}

fn forty() -> usize {
    40
}

impl Default for State {
    fn default() -> Self {
        Self { directory: "/var/lib/aquatope".into(), history_days: 15 }
    }
}

impl Default for OpenWhisk {
    fn default() -> Self {
        Self {
            url: String::new(),
            controller_url: String::new(),
            invoker_urls: Vec::new(),
            auth_file: None,
            controller_auth_file: None,
            invoker_auth_file: None,
            ca_file: None,
            timeout_s: 10.0,
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: "localhost:9092".into(),
            topic: "events".into(),
            group: "aquatope".into(),
            start: Start::Earliest,
            security: Security::Plaintext,
            sasl_mechanism: "SCRAM-SHA-512".into(),
            username: String::new(),
            password_file: None,
            ca_file: None,
        }
    }
}

impl Default for Cluster {
    fn default() -> Self {
        Self { enabled: false, topic: "aquatope-state".into(), shards: 8, session_timeout_s: 10.0 }
    }
}

impl Default for Windows {
    fn default() -> Self {
        Self { ahead_s: 5.0, final_after_s: 360.0, event_delay_s: 0.0 }
    }
}

impl Default for Pool {
    fn default() -> Self {
        Self {
            cold_start_cost: 2.25,
            first_cold_start_cost: None,
            most: 1000,
            capacity_mb: None,
            patience: 0,
            step: None,
            stale_after_s: 120.0,
            functions: Vec::new(),
        }
    }
}

impl Default for Train {
    fn default() -> Self {
        Self { enabled: true, first_after_h: 24.0, every_h: 24.0 }
    }
}

impl Default for Actuator {
    fn default() -> Self {
        Self {
            kind: ActuatorKind::DryRun,
            manifest: None,
            output: None,
            invokers: None,
            min_interval_s: 60.0,
            warm_up_parameter: "aquatope_warm_up".into(),
            warm_up_per_minute: 60,
            idle_container_min: 10.0,
            couchdb_url: String::new(),
            subjects_database: "whisk_local_subjects".into(),
            couchdb_auth_file: None,
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 9180)), token_file: None }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), json: false }
    }
}
