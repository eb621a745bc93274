//! The Azure Functions 2019 schema (Shahrad et al., "Serverless in the Wild", USENIX ATC 2020).
//!
//! ```text
//! invocations*.csv  HashOwner,HashApp,HashFunction,Trigger,1,2,...,1440    one file per day, invocations per minute
//! *durations*.csv   HashOwner,HashApp,HashFunction,Average,...,percentile_Average_{0,1,25,50,75,99,100}   (ms)
//! *memory*.csv      HashOwner,HashApp,...,AverageAllocatedMb,...
//! ```
//! Any of them may be gzipped. Day files carry their day in the name (`...d01.csv`); a function that is missing on a
//! day was not invoked on it. The trace knows only counts: `place` puts the invocations into their minutes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::table::{Row, Table, shown};
use super::{Function, Trace, check_length, long};
use crate::error::{Error, Result};

/// Container memory in MB when there is no memory file: the median of the 2019 trace.
pub const DEFAULT_MEMORY_MB: f64 = 170.0;
/// The smallest container in MB: the trace also lists applications of a few MB, which no platform offers.
const LEAST_MEMORY_MB: f64 = 16.0;
const DAY_MINUTES: usize = 1440;
/// The probabilities of the duration percentiles of the schema.
pub(super) const PERCENTILES: [f64; 7] = [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0];
const PERCENTILE_COLUMNS: [&str; 7] = [
    "percentile_Average_0",
    "percentile_Average_1",
    "percentile_Average_25",
    "percentile_Average_50",
    "percentile_Average_75",
    "percentile_Average_99",
    "percentile_Average_100",
];

/// Counts of an Azure trace, and how long each function runs where the trace says so.
pub(super) struct Counts {
    /// Functions and counts; no peaks and no events yet.
    pub(super) trace: Trace,
    /// Seconds at [`PERCENTILES`], per function.
    pub(super) durations: Vec<Option<[f64; 7]>>,
}

/// Whether the header line of `path` is that of an invocations file.
pub(super) fn is_invocations(path: &Path) -> Result<bool> {
    Ok(Table::open(path)?.column("HashFunction").is_some())
}

/// The day files of `folder`, in day order; empty when there are none.
///
/// # Errors
/// A day that is missing between the first and the last.
pub(super) fn day_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut days: Vec<(Option<u32>, PathBuf)> =
        files(folder, "invocations")?.into_iter().map(|file| (day_of(&file), file)).collect();
    days.sort();
    for pair in days.windows(2) {
        let [(Some(day), _), (Some(next), file)] = pair else {
            return Err(Error::input(
                pair[0].1.display().to_string(),
                "one of several invocation files, and its name states no day",
                "name the files ...d01.csv, ...d02.csv, ...",
            ));
        };
        if next == day {
            return Err(Error::input(
                file.display().to_string(),
                format!("day {day} is there twice"),
                "remove one of the two files",
            ));
        }
        if *next != day + 1 {
            return Err(Error::input(
                file.display().to_string(),
                format!("the day before it, d{:02}, is missing", next - 1),
                "add its file, or remove the days on one side of the gap",
            ));
        }
    }
    Ok(days.into_iter().map(|(_, file)| file).collect())
}

/// The files of `folder` with duration percentiles.
pub(super) fn duration_files(folder: &Path) -> Result<Vec<PathBuf>> {
    files(folder, "durations")
}

/// The files of `folder` with the memory of applications.
pub(super) fn memory_files(folder: &Path) -> Result<Vec<PathBuf>> {
    files(folder, "memory")
}

/// Read consecutive days with the duration and memory files given.
pub(super) fn read(days: &[PathBuf], durations: &[PathBuf], memory: &[PathBuf]) -> Result<Counts> {
    let mut functions = HashMap::new();
    let mut trace = Trace::default();
    let mut apps = Vec::new();
    for (index, path) in days.iter().enumerate() {
        read_day(path, index, days.len(), &mut functions, &mut apps, &mut trace)?;
    }
    if trace.functions.is_empty() {
        return Err(Error::input(
            days.first().map_or(String::new(), |path| path.display().to_string()),
            "the trace has no functions",
            "give at least one row below the header",
        ));
    }
    let mut percentiles = vec![None; trace.functions.len()];
    for path in durations {
        read_durations(path, &functions, &mut trace, &mut percentiles)?;
    }
    let mut known = HashMap::new();
    for path in memory {
        read_memory(path, &mut known)?;
    }
    for (function, app) in trace.functions.iter_mut().zip(apps) {
        function.memory_mb = known.get(&app).copied().unwrap_or(DEFAULT_MEMORY_MB).max(LEAST_MEMORY_MB);
    }
    Ok(Counts { trace, durations: percentiles })
}

/// Owner, application and function.
type Key = [Vec<u8>; 3];

fn read_day(
    path: &Path,
    day: usize,
    days: usize,
    functions: &mut HashMap<Key, usize>,
    apps: &mut Vec<[Vec<u8>; 2]>,
    trace: &mut Trace,
) -> Result<()> {
    let mut table = Table::open(path)?;
    let [owner, app, function, trigger] =
        table.columns(["HashOwner", "HashApp", "HashFunction", "Trigger"])?;
    let minutes = minute_columns(path, table.header(), trigger + 1)?;
    if days > 1 && minutes != DAY_MINUTES {
        return Err(Error::input(
            format!("{}:1", path.display()),
            format!("{minutes} minute columns where a day has {DAY_MINUTES}"),
            "give whole days, or a single file",
        ));
    }
    let mut seen = vec![false; trace.functions.len()];
    trace.extend_to((day + 1) * minutes);
    while let Some(row) = table.next_row()? {
        let key = [owner, app, function].map(|column| row.bytes(column).to_vec());
        let known = functions.len();
        let index = *functions.entry(key).or_insert(known);
        if index == known {
            check_length(path, known + 1, days * minutes)?;
            apps.push([row.bytes(owner).to_vec(), row.bytes(app).to_vec()]);
            trace.functions.push(described(&row, function, trigger));
            trace.counts.push(vec![0; trace.minutes]);
            trace.peaks.push(vec![0; trace.minutes]);
            seen.push(false);
        }
        if std::mem::replace(&mut seen[index], true) {
            return Err(row.fault(function, "appears twice on this day", "keep one row per function"));
        }
        let start = trace.minutes - minutes;
        for (minute, count) in trace.counts[index][start..].iter_mut().enumerate() {
            *count = row.count(trigger + 1 + minute)?;
        }
    }
    Ok(())
}

/// How many columns from `first` on are minutes: they must be consecutive numbers.
fn minute_columns(path: &Path, header: &[String], first: usize) -> Result<usize> {
    let numbers: Vec<Option<u32>> = header[first..].iter().map(|name| name.parse().ok()).collect();
    for (offset, number) in numbers.iter().enumerate() {
        let expected =
            if offset == 0 { *number } else { numbers[0].and_then(|start| start.checked_add(offset as u32)) };
        if number.is_none() || *number != expected {
            return Err(Error::input(
                format!("{}:1 column {}", path.display(), first + offset + 1),
                format!("`{}` is not the next minute", shown(&header[first + offset])),
                "after Trigger the columns are consecutive minutes, 1 to 1440 for a whole day",
            ));
        }
    }
    if numbers.is_empty() {
        return Err(Error::input(
            format!("{}:1", path.display()),
            "no minute columns after Trigger",
            "the columns are HashOwner,HashApp,HashFunction,Trigger,1,2,...,1440",
        ));
    }
    Ok(numbers.len())
}

fn described(row: &Row<'_>, function: usize, trigger: usize) -> Function {
    Function {
        name: row.text(function),
        trigger: row.text(trigger),
        workflow: None,
        parent: None,
        cold_start_s: long::DEFAULT_COLD_START_S,
        memory_mb: DEFAULT_MEMORY_MB,
        mean_duration_s: 0.0,
        concurrency: 1,
    }
}

/// Fill in the durations of the functions of the trace; the first row of a function counts.
fn read_durations(
    path: &Path,
    functions: &HashMap<Key, usize>,
    trace: &mut Trace,
    durations: &mut [Option<[f64; 7]>],
) -> Result<()> {
    let mut table = Table::open(path)?;
    let key = table.columns(["HashOwner", "HashApp", "HashFunction"])?;
    let [average] = table.columns(["Average"])?;
    let percentiles = table.columns(PERCENTILE_COLUMNS)?;
    while let Some(row) = table.next_row()? {
        let Some(&index) = functions.get(&key.map(|column| row.bytes(column).to_vec())) else { continue };
        if durations[index].is_some() {
            continue;
        }
        let mut seconds = [0.0f64; 7];
        let mut longest = 0.0f64;
        for (value, column) in seconds.iter_mut().zip(percentiles) {
            *value = row.amount(column)? / 1000.0;
            if *value < longest {
                return Err(row.fault(
                    column,
                    "is below the percentile before it",
                    "correct the percentiles",
                ));
            }
            longest = *value;
        }
        trace.functions[index].mean_duration_s = (row.amount(average)? / 1000.0).max(0.001);
        durations[index] = Some(seconds);
    }
    Ok(())
}

fn read_memory(path: &Path, known: &mut HashMap<[Vec<u8>; 2], f64>) -> Result<()> {
    let mut table = Table::open(path)?;
    let key = table.columns(["HashOwner", "HashApp"])?;
    let [memory] = table.columns(["AverageAllocatedMb"])?;
    while let Some(row) = table.next_row()? {
        let app = key.map(|column| row.bytes(column).to_vec());
        let megabytes = row.amount(memory)?;
        known.entry(app).or_insert(megabytes);
    }
    Ok(())
}

/// The CSV files of `folder` whose name contains `word`, by name.
fn files(folder: &Path, word: &str) -> Result<Vec<PathBuf>> {
    let unreadable = |source| Error::io(folder, source, "check the path and its permissions");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.contains(word) && (name.ends_with(".csv") || name.ends_with(".csv.gz")) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// The day a file name states: the digits after the last `d` before the extension.
fn day_of(path: &Path) -> Option<u32> {
    let name = path.file_name()?.to_str()?;
    name.trim_end_matches(".gz").strip_suffix(".csv")?.rsplit_once('d')?.1.parse().ok()
}
