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
use super::{Applied, Wants};
use crate::config::{Config, Secrets};
use crate::platform;

pub(crate) struct StemCells {
    destination: Destination,
    /// What the platform was started with.
    original: Manifest,
    /// What it has now; nothing when that is not known, as after a restart.
    current: Option<Manifest>,
    /// Pairs of kind and memory that we may set.
    managed: BTreeSet<(String, u32)>,
    invokers: Option<u32>,
    /// To count invokers.
    client: Option<Client>,
    min_interval: Duration,
    changed: Option<Instant>,
}

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
            invokers: actuator.invokers,
            client: platform::controller_client(config, secrets).ok(),
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
        // Plans come at a minute's distance, give or take a little.
        let early = self.changed.is_some_and(|changed| changed.elapsed().mul_f64(1.1) < self.min_interval);
        if self.current.as_ref() == Some(&manifest) || early {
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
        if let Some(invokers) = self.invokers {
            return Ok(invokers);
        }
        let Some(client) = &self.client else {
            return Err("the number of invokers is not known; set actuator.invokers".to_owned());
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
