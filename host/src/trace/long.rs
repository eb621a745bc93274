//! The plain long form: `series.csv` (`minute,func,cnt,act`) with its optional companions.
//!
//! ```text
//! functions.csv  func,name,workflow,parent,cold_s,mem_mb,dur_mean_s   workflow, parent: -1 when none
//! series.csv     minute,func,cnt,act          rows with cnt = 0 and act = 0 may be left out
//! split.csv      key,value                    train_end, valid_end, end (minutes)
//! events.csv     func,start_s,dur_s           optional: the invocations themselves
//! ```
//! A folder holds all of them (any may be gzipped, `series.csv.gz`); a `series.csv` alone is enough.

use std::path::{Path, PathBuf};

use super::table::{Row, Table};
use super::{Event, Function, Split, Trace, check_length};
use crate::error::{Error, Result};

/// Seconds a cold start takes when the trace does not say.
pub const DEFAULT_COLD_START_S: f64 = 2.0;
/// Memory of a container in MB when the trace does not say (OpenWhisk's default limit).
pub const DEFAULT_MEMORY_MB: f64 = 256.0;
/// Longest trace read, in minutes (ten years): a larger minute is a mistake in the file.
const MAX_MINUTES: u32 = 10 * 366 * 1440;
/// Most functions read: a larger index is a mistake in the file.
const MAX_FUNCTIONS: u32 = 1 << 20;

/// Read a long-form folder, or the single file `series.csv`; also the split its `split.csv` states.
///
/// # Errors
/// Whatever a row has wrong, naming file, line and column.
pub fn read(path: &Path) -> Result<(Trace, Option<Split>)> {
    let folder = path.is_dir();
    let series = if folder { companion(path, "series.csv") } else { Some(path.to_owned()) };
    let beside = |name| if folder { companion(path, name) } else { None };
    let events = beside("events.csv");
    if series.is_none() && events.is_none() {
        return Err(Error::input(
            path.display().to_string(),
            "the folder holds no trace",
            "give one with series.csv or events.csv, or with invocations*.csv of the Azure schema",
        ));
    }
    let split = beside("split.csv").map(|file| read_split(&file)).transpose()?;
    let mut trace = Trace::default();
    let functions = beside("functions.csv");
    if let Some(file) = &functions {
        trace.functions = read_functions(file)?;
    }
    if let Some(file) = &series {
        read_series(file, functions.is_some(), &mut trace)?;
    }
    if let Some(split) = split {
        extend(&mut trace, path, split.end)?;
    }
    if let Some(file) = events {
        trace.events = read_events(&file, trace.functions.len(), trace.minutes)?;
        if series.is_none() {
            let last = trace.events.last().map_or(0.0, |event| event.start_s / 60.0);
            extend(&mut trace, path, last as usize + 1)?;
            trace.measure_events();
        }
    }
    if trace.minutes == 0 || trace.functions.is_empty() {
        return Err(Error::input(
            path.display().to_string(),
            "the trace has no rows",
            "give at least one line `minute,func,cnt,act`",
        ));
    }
    Ok((trace, split))
}

/// Read the three tables of the long form from files of any name; minutes up to the split's end.
///
/// # Errors
/// Whatever a row has wrong, naming file, line and column.
pub fn read_files(functions: &Path, series: &Path, split: &Path) -> Result<(Trace, Split)> {
    let mut trace = Trace { functions: read_functions(functions)?, ..Trace::default() };
    let split = read_split(split)?;
    read_series(series, true, &mut trace)?;
    extend(&mut trace, series, split.end)?;
    Ok((trace, split))
}

/// `name` or `name.gz` in `folder`, whichever exists.
pub(super) fn companion(folder: &Path, name: &str) -> Option<PathBuf> {
    [folder.join(name), folder.join(format!("{name}.gz"))].into_iter().find(|file| file.is_file())
}

fn read_functions(path: &Path) -> Result<Vec<Function>> {
    let mut table = Table::open(path)?;
    let [func, name, workflow, parent, cold, memory, duration] =
        table.columns(["func", "name", "workflow", "parent", "cold_s", "mem_mb", "dur_mean_s"])?;
    let concurrency = table.column("concurrency");
    let mut functions: Vec<Function> = Vec::new();
    let mut origins: Vec<usize> = Vec::new();
    let mut furthest_parent = None;
    while let Some(row) = table.next_row()? {
        if row.count(func)? as usize != functions.len() {
            let what = format!("is not the next function, {}", functions.len());
            return Err(row.fault(func, &what, "number the functions 0, 1, 2, ... in order, each once"));
        }
        let parent_index = row.optional_id(parent)?.map(|id| id as usize);
        let origin = parent_index.map(|parent| origin(&mut origins, parent));
        if origin == Some(functions.len()) {
            let what = "makes the function follow itself";
            return Err(row.fault(parent, what, "name another function, or -1"));
        }
        origins.push(origin.unwrap_or(functions.len()));
        if parent_index > furthest_parent.as_ref().map(|&(index, _)| index) {
            furthest_parent =
                parent_index.map(|index| (index, row.fault(parent, "is no function", "name a row, or -1")));
        }
        functions.push(Function {
            name: row.text(name),
            trigger: String::new(),
            workflow: row.optional_id(workflow)?,
            parent: parent_index,
            cold_start_s: row.amount(cold)?,
            memory_mb: positive(&row, memory)?,
            mean_duration_s: row.amount(duration)?,
            concurrency: concurrency.map_or(Ok(1), |column| at_least_one(&row, column))?,
        });
    }
    match furthest_parent {
        Some((index, error)) if index >= functions.len() => Err(error),
        _ => Ok(functions),
    }
}

/// The first of the functions that `function` follows, as far as `origins` of functions are known.
fn origin(origins: &mut [usize], mut function: usize) -> usize {
    while let Some(&before) = origins.get(function)
        && before != function
    {
        // Each step halves the way of the next one: a chain of a million functions is read in no time.
        if let Some(&earlier) = origins.get(before) {
            origins[function] = earlier;
        }
        function = before;
    }
    function
}

fn read_series(path: &Path, declared: bool, trace: &mut Trace) -> Result<()> {
    let mut table = Table::open(path)?;
    let [minute, func, count, peak] = table.columns(["minute", "func", "cnt", "act"])?;
    let mut rows: Vec<[u32; 4]> = Vec::new();
    let mut seen = std::collections::HashSet::new();
    while let Some(row) = table.next_row()? {
        let at = bounded(&row, minute, MAX_MINUTES, "is later than ten years")?;
        let function = bounded(&row, func, MAX_FUNCTIONS, "is no function index")?;
        if declared && function as usize >= trace.functions.len() {
            return Err(row.fault(func, "is not in functions.csv", "add the function there"));
        }
        if !seen.insert((at, function)) {
            return Err(row.fault(
                func,
                "appears twice in this minute",
                "keep one row per minute and function",
            ));
        }
        rows.push([at, function, row.count(count)?, row.count(peak)?]);
    }
    let functions = rows.iter().map(|row| row[1] as usize + 1).max().unwrap_or(0);
    for index in trace.functions.len()..functions {
        trace.functions.push(unnamed(index));
    }
    extend(trace, path, rows.iter().map(|row| row[0] as usize + 1).max().unwrap_or(0))?;
    for [minute, function, count, peak] in rows {
        trace.counts[function as usize][minute as usize] = count;
        trace.peaks[function as usize][minute as usize] = peak;
    }
    Ok(())
}

/// [`Trace::extend_to`], unless that takes too much memory.
fn extend(trace: &mut Trace, path: &Path, minutes: usize) -> Result<()> {
    check_length(path, trace.functions.len(), minutes.max(trace.minutes))?;
    trace.extend_to(minutes);
    Ok(())
}

fn read_split(path: &Path) -> Result<Split> {
    let mut table = Table::open(path)?;
    let [key, value] = table.columns(["key", "value"])?;
    let mut ends = [None; 3];
    while let Some(row) = table.next_row()? {
        let place = match row.bytes(key) {
            b"train_end" => 0,
            b"valid_end" => 1,
            b"end" => 2,
            _ => return Err(row.fault(key, "is no key", "use train_end, valid_end and end")),
        };
        ends[place] = Some(bounded(&row, value, MAX_MINUTES, "is later than ten years")? as usize);
    }
    let [Some(train_end), Some(valid_end), Some(end)] = ends else {
        return Err(Error::input(
            path.display().to_string(),
            "train_end, valid_end or end is missing",
            "give all three",
        ));
    };
    Split::new(train_end, valid_end, end).map_err(|what| {
        Error::input(path.display().to_string(), what, "use 0 < train_end < valid_end < end, in minutes")
    })
}

fn read_events(path: &Path, functions: usize, minutes: usize) -> Result<Vec<Event>> {
    let mut table = Table::open(path)?;
    let [func, start, duration] = table.columns(["func", "start_s", "dur_s"])?;
    let mut events = Vec::new();
    let end_s = if minutes == 0 { f64::from(MAX_MINUTES) } else { minutes as f64 } * 60.0;
    while let Some(row) = table.next_row()? {
        let event = Event {
            function: row.count(func)?,
            start_s: row.amount(start)?,
            duration_s: row.amount(duration)?,
        };
        if event.function as usize >= functions {
            return Err(row.fault(func, "is not in functions.csv", "add the function there"));
        }
        if event.start_s >= end_s {
            return Err(row.fault(start, "is after the end of the trace", "remove the row"));
        }
        events.push(event);
    }
    if events.is_empty() {
        return Err(Error::input(
            path.display().to_string(),
            "the file has no rows",
            "add the invocations, or remove the file to hold the containers of series.csv for whole minutes",
        ));
    }
    events.sort_by(|a, b| a.start_s.total_cmp(&b.start_s));
    Ok(events)
}

fn bounded(row: &Row<'_>, column: usize, limit: u32, what: &str) -> Result<u32> {
    let value = row.count(column)?;
    if value >= limit { Err(row.fault(column, what, "correct the number")) } else { Ok(value) }
}

fn positive(row: &Row<'_>, column: usize) -> Result<f64> {
    let value = row.amount(column)?;
    if value > 0.0 {
        Ok(value)
    } else {
        Err(row.fault(column, "is not above 0", "state the container's memory"))
    }
}

fn at_least_one(row: &Row<'_>, column: usize) -> Result<u32> {
    match row.count(column)? {
        0 => Err(row.fault(column, "serves nothing", "state how many requests one container serves at once")),
        count => Ok(count),
    }
}

/// A function the series names only by its index.
fn unnamed(index: usize) -> Function {
    Function {
        name: format!("f{index}"),
        trigger: String::new(),
        workflow: None,
        parent: None,
        cold_start_s: DEFAULT_COLD_START_S,
        memory_mb: DEFAULT_MEMORY_MB,
        mean_duration_s: 0.0,
        concurrency: 1,
    }
}
