//! The back-ends `runtimes` and `manifest-file`: stem cells by a whole runtimes manifest, posted to a controller with
//! pull request 4790, or written where a roll-out picks it up.
//!
//! Both change something only when the counts differ and the last change is long enough ago: invokers destroy and
//! rebuild their idle stem cells at every change. Pairs of kind and memory that the manifest does not know are remarked
//! on, not forced: the platform ignores them.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aquatope_openwhisk::controller::Controller;
use aquatope_openwhisk::manifest::Manifest;
use aquatope_openwhisk::rest::Client;
use aquatope_workflow::fault::Fault;

use super::spares::spares;
use super::{Applied, Wants, too_soon};
use crate::config::{Config, Secrets};
use crate::platform;

pub(crate) struct StemCells {
    destination: Destination,
    /// What the platform was started with.
    original: Manifest,
    /// What it has now; nothing when that is not known, as after a restart. A controller is told again after [`REFRESH`].
    current: Option<Manifest>,
    /// Pairs of kind and memory that we may set.
    managed: BTreeSet<(String, u32)>,
    invokers: Invokers,
    min_interval: Duration,
    changed: Option<Instant>,
}

/// How many invokers there are.
enum Invokers {
    Configured(u32),
    /// As many as the controller says are up.
    Asked(Client),
}

/// Invokers that were restarted have their initial counts: what a controller was told is told again after this long. It
/// costs the idle stem cells, which are rebuilt.
const REFRESH: Duration = Duration::from_secs(3600);

enum Destination {
    File(PathBuf),
    Controller(Controller),
}

impl StemCells {
    pub(super) fn new(config: &Config, secrets: &Secrets) -> Result<Self, Fault> {
        let actuator = &config.actuator;
        let missing = |key: &str| platform::fault(key, "missing", "name the complete runtimes manifest");
        let path = actuator.manifest.as_deref().ok_or_else(|| missing("actuator.manifest"))?;
        let original = read_manifest(path)?;
        let destination = match &actuator.output {
            Some(output) if actuator.kind == crate::config::ActuatorKind::ManifestFile => {
                Destination::File(output.clone())
            }
            _ => Destination::Controller(platform::controller(config, secrets)?),
        };
        // What the file says already need not be written again.
        let current = match &destination {
            Destination::File(output) if output.exists() => Some(read_manifest(output)?),
            _ => None,
        };
        let managed = original.stem_cells().into_iter().map(|spare| (spare.kind, spare.memory_mb)).collect();
        Ok(Self {
            destination,
            original,
            current,
            managed,
            invokers: match actuator.invokers {
                Some(invokers) => Invokers::Configured(invokers),
                None => Invokers::Asked(platform::controller_client(config, secrets)?),
            },
            min_interval: Duration::from_secs_f64(actuator.min_interval_s),
            changed: None,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        match self.destination {
            Destination::File(_) => "manifest-file",
            Destination::Controller(_) => "runtimes",
        }
    }

    pub(super) async fn apply(&mut self, wants: &Wants) -> Result<Applied, String> {
        let invokers = self.count_invokers().await?;
        let mut applied = Applied::default();
        let manifest = self.manifest(wants, invokers, &mut applied.remarks);
        let controller = matches!(self.destination, Destination::Controller(_));
        let old = controller && self.changed.is_some_and(|changed| changed.elapsed() >= REFRESH);
        let known = self.current.as_ref() == Some(&manifest) && !old;
        if known || too_soon(self.changed, self.min_interval) {
            return Ok(applied);
        }
        let now = Instant::now();
        match &self.destination {
            Destination::File(output) => {
                write_whole(output, manifest.to_json().as_bytes())
                    .map_err(|error| format!("{}: {error}; make its folder writable", output.display()))?;
            }
            Destination::Controller(controller) => {
                controller.post_runtimes(&manifest, None).await.map_err(|error| error.to_string())?;
            }
        }
        self.current = Some(manifest);
        self.changed = Some(now);
        applied.calls = 1;
        Ok(applied)
    }

    /// Another instance may have changed it. A file stays what it was: writing it again would roll it out again.
    pub(super) fn forget(&mut self) {
        self.current = match &self.destination {
            Destination::File(output) => read_manifest(output).ok(),
            Destination::Controller(_) => None,
        };
    }

    /// The manifest with the stem cells of every managed pair.
    fn manifest(&self, wants: &Wants, invokers: u32, remarks: &mut Vec<String>) -> Manifest {
        let spares = spares(&wants.functions, invokers);
        let mut manifest = self.original.clone();
        for (kind, memory_mb) in &self.managed {
            let count = spares.get(&(kind.clone(), *memory_mb)).copied().unwrap_or(0);
            if let Err(error) = manifest.set_stem_cells(kind, *memory_mb, count) {
                remarks.push(error.to_string());
            }
        }
        for ((kind, memory_mb), count) in &spares {
            if !self.managed.contains(&(kind.clone(), *memory_mb)) {
                remarks.push(format!(
                    "{count} stem cells of {kind} with {memory_mb} MB are wanted, but the manifest has no such entry: \
                     add one and restart the invokers"
                ));
            }
        }
        manifest
    }

    async fn count_invokers(&self) -> Result<u32, String> {
        let client = match &self.invokers {
            Invokers::Configured(invokers) => return Ok(*invokers),
            Invokers::Asked(client) => client,
        };
        let states =
            client.invokers().await.map_err(|error| format!("{error} (or set actuator.invokers)"))?;
        let up = states.values().filter(|state| *state == "up").count();
        if up == 0 { Err("no invoker is up".to_owned()) } else { Ok(up as u32) }
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, Fault> {
    let at = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        platform::fault(&at, error, "name the runtimes manifest that the platform was started with")
    })?;
    Manifest::parse(&text).map_err(|error| platform::fault(&at, "not usable", error.to_string()))
}

/// Nobody ever reads half a file.
fn write_whole(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use aquatope_openwhisk::credentials::Secret;
    use aquatope_standin::Standin;

    use super::*;
    use crate::actuate::Wanted;
    use crate::config::ActuatorKind;

    fn wants(containers: u32) -> Wants {
        let (name, namespace, kind) = ("guest/f".into(), "guest".into(), "python:3".into());
        let wanted =
            Wanted { name, namespace, kind, memory_mb: 256, containers, busy: 0, warm: 0, cold_start_ms: 0 };
        Wants { minute: 1, functions: vec![wanted], share: None }
    }

    #[tokio::test]
    async fn counts_are_posted_when_they_differ_or_may_have_been_changed() {
        let text = r#"{"runtimes":{"python":[{"kind":"python:3","default":true,"stemCells":[{"initialCount":1,"memory":"256 MB"}]}]}}"#;
        let manifest = Manifest::parse(text).unwrap();
        let platform = aquatope_standin::config::Config { manifest, ..Default::default() };
        let standin = Standin::start(platform, 1000.0, 0, |_| {}).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("runtimes.json");
        std::fs::write(&path, text).unwrap();
        let mut config = Config::default();
        config.openwhisk.url = standin.url();
        config.actuator.kind = ActuatorKind::Runtimes;
        config.actuator.manifest = Some(path);
        config.actuator.min_interval_s = 0.0;
        let mut secrets = Secrets {
            controller: Some(Secret::new("controller.user:controller.pass")),
            ..Secrets::default()
        };
        // Nobody says how many invokers there are, and the key to ask for them is missing.
        assert_eq!(StemCells::new(&config, &secrets).err().unwrap().at, "openwhisk.auth_file");
        secrets.openwhisk = Some(Secret::new("user:key"));
        let mut stem_cells = StemCells::new(&config, &secrets).unwrap();
        assert_eq!(stem_cells.apply(&wants(7)).await.unwrap(), Applied { calls: 1, ..Applied::default() });
        // Seven over the two invokers there are.
        for invoker in 0..2 {
            let count = |platform: &mut aquatope_standin::platform::Platform| {
                let ready: u32 = platform.stem_cells(invoker).iter().map(|(_, count)| count).sum();
                ready + platform.stem_cells_in_creation(invoker)
            };
            assert_eq!(standin.with(count), 4);
        }
        assert_eq!(stem_cells.apply(&wants(7)).await.unwrap().calls, 0);
        stem_cells.forget();
        assert_eq!(stem_cells.apply(&wants(7)).await.unwrap().calls, 1);
        config.actuator.invokers = Some(1);
        secrets.openwhisk = None;
        assert!(StemCells::new(&config, &secrets).is_ok());
    }
}
