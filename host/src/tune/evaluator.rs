//! Measuring a trial: by the built-in simulator, or by a program of the user's.
//!
//! The program of `--evaluator CMD` is started once (`sh -c "exec CMD"`) and speaks lines of JSON, one reply a
//! request; what it writes on stderr passes through:
//! ```text
//! -> {"id":3,"functions":[{"name":"extract","cpu":1.2,"memory_mb":768,"concurrency":1}, ...]}
//! <- {"cost":0.8,"latency":3.9,"durations":[1.1,1.7,0.9]}        durations (seconds, one a function) are optional
//! <- {"error":"out of memory"}                                   this configuration cannot be measured
//! ```
//! `cost_var` and `latency_var` may be added when cost and latency are means: the variances of those means. Measuring
//! the starting configuration before the search sends `"id":null`. A program that dies, hangs or prints anything
//! else is started again, twice; then the trial counts as failed. Three such failures in a row end the run.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aquatope_core::workflow::Configuration;
use aquatope_workflow::fault;
use rustix::process::{Pid, Signal, WaitOptions, kill_process_group, waitpid};
use serde_json::{Value, json};

use super::json::Field;
use super::simulator::{Scenario, Simulator};
use super::space::Point;
use super::trial::Outcome;
use super::workflow::{Function, Workflow};

/// Attempts per trial at a program that breaks.
const ATTEMPTS: usize = 3;
/// The longest reply in bytes: a program that prints without end must not fill the memory.
const LONGEST_REPLY: u64 = 1 << 20;

/// Why a trial has no outcome.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// The configuration cannot be measured, says the evaluator.
    Refused(String),
    /// The evaluator itself broke, every attempt.
    Broken(String),
}

/// What is measured: a trial by its id, or a repetition of the starting configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sample {
    /// The trial with this id.
    Trial(usize),
    /// Measurement number so-and-so of the starting configuration.
    Profile(usize),
}

/// Measures configurations.
pub trait Evaluator {
    /// One sample of `point`.
    fn measure(&mut self, sample: Sample, point: &Point) -> Result<Outcome, Failure>;
}

/// The simulator under a noise scenario; a sample depends on the seed and its number alone.
pub struct Simulated {
    /// The workflow.
    pub simulator: Simulator,
    /// How noisy it is.
    pub scenario: Scenario,
    /// Seed of the noise.
    pub seed: u64,
}

impl Evaluator for Simulated {
    fn measure(&mut self, sample: Sample, point: &Point) -> Result<Outcome, Failure> {
        // The profile has a noise stream of its own, so that its length does not shift the trials' noise.
        let (seed, evaluation) = match sample {
            Sample::Trial(id) => (self.seed, id as u64),
            Sample::Profile(i) => (self.seed ^ 0x00AB_CDEF, 1_000_000 + i as u64),
        };
        let outcome = self.simulator.sample(point, self.scenario, seed, evaluation);
        let numbers = [("cost", outcome.cost), ("latency", outcome.latency_s)];
        let durations = self.simulator.workflow.functions.iter().zip(&outcome.durations);
        let durations = durations.map(|(function, seconds)| (function.name.as_str(), *seconds));
        match durations.chain(numbers).find(|(_, value)| !(*value > 0.0 && value.is_finite())) {
            Some((name, value)) => Err(Failure::Refused(format!(
                "the simulator gives {value} for {name}, not a positive number"
            ))),
            None => Ok(outcome),
        }
    }
}

/// A program of the user's.
pub struct Program {
    command: String,
    timeout: Duration,
    workflow: Workflow,
    running: Option<Running>,
}

/// The process group of the program that runs now; `Err` once none may be started any more.
static GROUP: Mutex<Result<Option<Pid>, ()>> = Mutex::new(Ok(None));

/// End the program that runs now with all it started, and let none start again: for a handler of Ctrl-C. Programs have
/// process groups of their own, so that the terminal does not interrupt them together with this process.
pub fn end_programs() {
    let mut group = GROUP.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(Some(leader)) = std::mem::replace(&mut *group, Err(())) {
        // Errors mean that it has ended meanwhile, or was waited for elsewhere.
        let _ = kill_process_group(leader, Signal::KILL);
        let _ = waitpid(Some(leader), WaitOptions::empty());
    }
}

struct Running {
    /// The leader of its own process group.
    child: Child,
    /// Present until it is told to end.
    requests: Option<ChildStdin>,
    replies: Receiver<std::io::Result<String>>,
}

impl Program {
    /// A program that is started with the first sample; a reply later than `timeout` counts as hanging.
    pub fn new(command: &str, timeout: Duration, workflow: Workflow) -> Self {
        Self { command: command.to_string(), timeout, workflow, running: None }
    }

    fn attempt(&mut self, request: &str) -> Result<Outcome, Failure> {
        let broken = |reason: String| Failure::Broken(format!("the evaluator {reason}"));
        if self.running.is_none() {
            self.running =
                Some(Running::start(&self.command).map_err(|e| broken(format!("does not start: {e}")))?);
        }
        let running = self.running.as_mut().expect("started above");
        // A line too many would be taken for the reply to this request.
        if let Ok(line) = running.replies.try_recv() {
            let line = line.unwrap_or_default();
            return Err(broken(format!("printed {:?} without being asked", beginning(&line))));
        }
        let requests = running.requests.as_mut().expect("present until dropped");
        if requests.write_all(request.as_bytes()).and_then(|()| requests.flush()).is_err() {
            return Err(broken(running.epitaph()));
        }
        match running.replies.recv_timeout(self.timeout) {
            Ok(Ok(line)) => read_reply(&line, self.workflow.functions.len()),
            Ok(Err(error)) => Err(broken(format!("printed no text: {error}"))),
            Err(RecvTimeoutError::Timeout) => Err(broken(format!(
                "did not answer within {} s (--evaluator-timeout)",
                self.timeout.as_secs_f64()
            ))),
            Err(RecvTimeoutError::Disconnected) => Err(broken(running.epitaph())),
        }
    }
}

impl Evaluator for Program {
    fn measure(&mut self, sample: Sample, point: &Point) -> Result<Outcome, Failure> {
        let id = match sample {
            Sample::Trial(id) => json!(id),
            Sample::Profile(_) => Value::Null,
        };
        let request = format!("{}\n", json!({ "id": id, "functions": describe(&self.workflow, point) }));
        let mut result = self.attempt(&request);
        for _ in 1..ATTEMPTS {
            if !matches!(result, Err(Failure::Broken(_))) {
                break;
            }
            // A fresh process: a late reply to the last request must not be taken for the next one's.
            self.running = None;
            result = self.attempt(&request);
        }
        if matches!(result, Err(Failure::Broken(_))) {
            self.running = None;
        }
        result
    }
}

impl Running {
    fn start(command: &str) -> std::io::Result<Self> {
        let mut group = GROUP.lock().unwrap_or_else(PoisonError::into_inner);
        if group.is_err() {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let mut child = Command::new("sh")
            .arg("-c")
            // exec: the program takes the shell's place, so that killing the child kills the program.
            .arg(format!("exec {command}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        *group = Ok(Pid::from_raw(child.id() as i32));
        let requests = child.stdin.take();
        let stdout = child.stdout.take().expect("piped above");
        let (sender, replies) = sync_channel(1);
        std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            loop {
                let mut line = String::new();
                let read = stdout.by_ref().take(LONGEST_REPLY).read_line(&mut line);
                if matches!(read, Ok(0)) || sender.send(read.map(|_| line)).is_err() {
                    break;
                }
            }
        });
        Ok(Self { child, requests, replies })
    }

    /// How the process ended; it may also have closed its output and live on.
    fn epitaph(&mut self) -> String {
        match self.ended() {
            Some(status) => format!("ended without an answer ({status})"),
            None => "closed its input or output without an answer".into(),
        }
    }

    /// The exit status of the process, when it ends within a fifth of a second.
    fn ended(&mut self) -> Option<ExitStatus> {
        for _ in 0..20 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The end of its input asks a healthy program to end by itself.
        drop(self.requests.take());
        let ended = self.ended().is_some();
        let mut group = GROUP.lock().unwrap_or_else(PoisonError::into_inner);
        if !ended {
            // With what it started: errors mean that it has ended meanwhile.
            if let Some(leader) = Pid::from_raw(self.child.id() as i32) {
                let _ = kill_process_group(leader, Signal::KILL);
            }
            let _ = self.child.wait();
        }
        if group.is_ok() {
            *group = Ok(None);
        }
    }
}

/// The resources of every function, as programs read them.
pub fn describe(workflow: &Workflow, point: &Point) -> Vec<Value> {
    let function = |(i, function): (usize, &Function)| {
        let Configuration { cpu, memory_mb, concurrency } = workflow.configuration(point, i);
        // Requests are counted: 2, not 2.0.
        let concurrency = concurrency as u64;
        json!({ "name": function.name, "cpu": cpu, "memory_mb": memory_mb, "concurrency": concurrency })
    };
    workflow.functions.iter().enumerate().map(function).collect()
}

fn read_reply(line: &str, functions: usize) -> Result<Outcome, Failure> {
    let broken = |reason: String| Failure::Broken(format!("the evaluator {reason}"));
    let Ok(reply) = serde_json::from_str::<Value>(line) else {
        return Err(broken(format!("printed {:?}, which is no JSON object", beginning(line))));
    };
    let reply = Field::root("its reply", &reply);
    if let Some(error) = reply.get("error").present() {
        return Err(Failure::Refused(error.text().map_or_else(|_| "unspecified".into(), str::to_string)));
    }
    read_outcome(&reply, Some(functions)).map_err(|error| broken(format!("is not understood: {error}")))
}

/// As much of a line as an error shows.
fn beginning(line: &str) -> String {
    line.trim_end().chars().take(60).collect()
}

/// An outcome: `cost`, `latency`, and optionally `cost_var`, `latency_var` and `durations` (`functions` of them).
pub fn read_outcome(reply: &Field, functions: Option<usize>) -> crate::error::Result<Outcome> {
    let durations = match reply.get("durations").present() {
        None => Vec::new(),
        Some(list) => list.items()?.iter().map(Field::positive).collect::<fault::Result<_>>()?,
    };
    if let Some(functions) = functions.filter(|&n| !durations.is_empty() && durations.len() != n) {
        let what = format!("has {} entries for {functions} functions", durations.len());
        return Err(reply.get("durations").fault(what, "give one duration a function, or none").into());
    }
    let variance = |name: &str| reply.get(name).present().map(|field| field.non_negative()).transpose();
    let (cost_variance, latency_variance) = (variance("cost_var")?, variance("latency_var")?);
    let lone = match (cost_variance, latency_variance) {
        (Some(_), None) => Some(("cost_var", "latency_var")),
        (None, Some(_)) => Some(("latency_var", "cost_var")),
        _ => None,
    };
    if let Some((given, missing)) = lone {
        return Err(reply.get(given).fault(format!("stands without {missing}"), "give both, or none").into());
    }
    Ok(Outcome {
        cost: reply.get("cost").positive()?,
        latency_s: reply.get("latency").positive()?,
        cost_variance,
        latency_variance,
        durations,
    })
}
