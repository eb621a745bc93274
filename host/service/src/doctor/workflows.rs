//! Whether every `[[workflow]]` can be read, is there on the platform, and asks for what it can have.

use std::collections::BTreeSet;

use aquatope_openwhisk::rest::{Client, Selection};
use aquatope_workflow::workflow_file::WorkflowFile;

use super::Report;
use crate::clock::Clock;
use crate::config::{Config, Secrets, Workflow as Registered};
use crate::platform;
use crate::tune::{in_name, is_clone, is_clone_of, memory_bounds};
use crate::workflows::{problem, read_file};

/// Runs within so long tell how fast a workflow is today, ms.
const LATELY: i64 = 3_600_000;
/// Fewer tell nothing.
const ENOUGH: usize = 8;
/// What to do about a namespace that is not the key's.
const FORBIDDEN: &str = "set workflow.namespace to the key's own, which `wsk namespace list` prints, or take the key of a subject with this right";
/// OpenWhisk's default time limit of an action, ms.
const TIME_LIMIT: u64 = 60_000;

impl Report {
    pub(super) async fn workflows(&mut self, config: &Config, secrets: &Secrets, clock: Clock) {
        let mut tuned = Vec::new();
        let mut all_known = true;
        for registered in &config.workflow {
            let before = self.troubles;
            let Some(file) = self.workflow_file(registered) else {
                all_known = false;
                continue;
            };
            let called = format!("workflow {}", file.name);
            let name = (in_name(&file.name), registered.namespace.clone());
            if registered.tune && tuned.contains(&name) {
                self.broken(
                    format!("{called}: registered twice"),
                    "remove one of its [[workflow]] tables, or give the workflows in their files names of their own",
                );
            }
            if registered.tune {
                tuned.push(name);
            }
            self.approval(registered, secrets, &called);
            let functions = file.workflow.functions.len();
            if config.openwhisk.url.is_empty() {
                self.doubtful(
                    format!("{called}: whether its {functions} actions are there is not known"),
                    "set openwhisk.url",
                );
                continue;
            }
            // What keeps a client from being made was told with the platform.
            let Ok(client) = platform::client(config, secrets, &registered.namespace) else { continue };
            self.on_platform(registered, &file, &client, clock, &called).await;
            if self.troubles == before {
                let qos_s = file.qos_s;
                self.well(format!("{called}: its {functions} actions are there, its QoS is {qos_s} s"));
            }
        }
        if !all_known || config.openwhisk.url.is_empty() {
            return;
        }
        // The key's own too, which may be one of those by another name: what is tuned anywhere counts for all.
        let namespaces = config.workflow.iter().map(|registered| registered.namespace.as_str());
        let namespaces: BTreeSet<&str> = namespaces.chain(["_"]).collect();
        let tuned: Vec<&str> = tuned.iter().map(|(name, _)| name.as_str()).collect();
        for namespace in namespaces {
            if let Ok(client) = platform::client(config, secrets, namespace) {
                self.clones(&client, &tuned).await;
            }
        }
    }

    /// Whether searches left clones that no instance with this configuration deletes, as their workflows are not `tuned` any
    /// more, or not by that name.
    async fn clones(&mut self, client: &Client, tuned: &[&str]) {
        let mut left = match client.action_names().await {
            Ok(actions) => actions,
            Err(error) => return self.call(&error, FORBIDDEN),
        };
        left.retain(|action| is_clone(action) && !tuned.iter().any(|workflow| is_clone_of(action, workflow)));
        if !left.is_empty() {
            self.doubtful(
                format!(
                    "OpenWhisk: searches left clones: {}",
                    left.into_iter().collect::<Vec<_>>().join(", ")
                ),
                "`wsk action delete` each, unless another instance tunes the workflow that its name ends in",
            );
        }
    }

    /// What the file says, if it can be used.
    fn workflow_file(&mut self, registered: &Registered) -> Option<WorkflowFile> {
        let file = match read_file(registered) {
            Ok(file) => file,
            Err(fault) => {
                self.fault(fault);
                return None;
            }
        };
        if registered.tune
            && let Err(fault) = problem(registered)
        {
            self.fault(fault);
            return None;
        }
        let overhead_s = file.workflow.latency(&vec![0.0; file.workflow.functions.len()]);
        if file.qos_s <= overhead_s {
            self.broken(
                format!(
                    "workflow {}: its QoS of {} s is no more than the {overhead_s} s that lie between its stages",
                    file.name, file.qos_s
                ),
                "raise qos_s, or lower edge_overhead_s, in the workflow file",
            );
        }
        Some(file)
    }

    fn approval(&mut self, registered: &Registered, secrets: &Secrets, called: &str) {
        if registered.apply && !registered.tune {
            self.doubtful(
                format!("{called}: apply = true, but nothing is searched for"),
                "set tune = true as well, or remove apply",
            );
        }
        if registered.tune && !registered.apply && secrets.http.is_none() {
            self.doubtful(
                format!("{called}: what is found waits for an approval, and nobody can give one"),
                "set AQUATOPE_HTTP_TOKEN or http.token_file, or apply = true",
            );
        }
    }

    async fn on_platform(
        &mut self,
        registered: &Registered,
        file: &WorkflowFile,
        client: &Client,
        clock: Clock,
        called: &str,
    ) {
        let namespace = &registered.namespace;
        let mut limits_s = Vec::new();
        for function in &file.workflow.functions {
            let name = &function.name;
            match client.action(name, false).await {
                Err(error) => return self.call(&error, FORBIDDEN),
                Ok(None) => self.broken(
                    format!("{called}: there is no action /{namespace}/{name}"),
                    "name functions in its file as `wsk action list` does ([package/]action), or set workflow.namespace",
                ),
                Ok(Some(action)) if action.kind() == "sequence" => self.broken(
                    format!("{called}: /{namespace}/{name} is a sequence"),
                    "name its components in the file, and the edges between them",
                ),
                Ok(Some(action)) => {
                    limits_s.push(action.limits.timeout.unwrap_or(TIME_LIMIT) as f64 / 1000.0);
                }
            }
        }
        if limits_s.len() < file.workflow.functions.len() {
            return;
        }
        let longest_s = file.workflow.latency(&limits_s);
        if file.qos_s > longest_s {
            self.doubtful(
                format!(
                    "{called}: its QoS is {} s, and the time limits of its actions end every run after {longest_s} s",
                    file.qos_s
                ),
                "lower qos_s in the workflow file: as it is, every run that ends well meets it",
            );
        }
        if registered.tune {
            self.memory(registered, client).await;
            self.runs(file, client, clock, called).await;
        }
    }

    /// Whether the platform allows the memory that is to be searched.
    async fn memory(&mut self, registered: &Registered, client: &Client) {
        let bounds = match memory_bounds(client).await {
            Ok(bounds) => bounds,
            Err(error) => return self.call(&error, FORBIDDEN),
        };
        if let Err(fault) = problem(registered).and_then(|problem| problem.check_memory(bounds)) {
            self.fault(fault);
        }
    }

    /// Whether a change could be watched, and whether the QoS is met today.
    async fn runs(&mut self, file: &WorkflowFile, client: &Client, clock: Clock, called: &str) {
        let name = &file.name;
        match client.action(name, false).await {
            Err(error) => return self.call(&error, FORBIDDEN),
            Ok(Some(action)) if action.is_workflow() => {}
            Ok(_) => {
                return self.doubtful(
                    format!(
                        "{called}: there is no sequence or composition {name}: a change could not be watched"
                    ),
                    "make one, or give the workflow in the file the name of the one users invoke",
                );
            }
        }
        let now_ms = i64::try_from(clock.now().0).unwrap_or(i64::MAX);
        let selection = Selection {
            since_ms: Some(now_ms.saturating_sub(LATELY)),
            upto_ms: None,
            name: Some(name.clone()),
        };
        let records = match client.activations(&selection).await {
            Ok(records) => records,
            Err(error) => return self.call(&error, FORBIDDEN),
        };
        // The steps of a composition's conductor have the composition's name.
        let whole = records.iter().filter(|record| record.kind() == "sequence");
        let mut took_s: Vec<f64> = whole.map(|run| (run.end - run.start) as f64 / 1000.0).collect();
        if took_s.len() < ENOUGH {
            return;
        }
        took_s.sort_by(f64::total_cmp);
        let median_s = took_s[took_s.len() / 2];
        if median_s > file.qos_s {
            self.doubtful(
                format!(
                    "{called}: half of its runs took {median_s} s or more lately, its QoS is {} s",
                    file.qos_s
                ),
                "see whether qos_s in the workflow file is meant so; a search may find that nothing meets it",
            );
        }
    }
}
