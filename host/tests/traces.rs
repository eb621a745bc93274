//! Reading traces: both formats, and every kind of bad input with its one-line error.

use std::fs;
use std::path::{Path, PathBuf};

use aquatope::trace::{ReadOptions, Trace, Unit, read};

/// A folder of its own for one case, removed when dropped.
struct Folder(PathBuf);

impl Folder {
    fn with(case: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("aquatope-traces-{}-{case}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).expect("a writable temporary folder");
        for (name, text) in files {
            fs::write(path.join(name), text).expect("a writable temporary folder");
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn read_all(path: &Path) -> Trace {
    read(path, &ReadOptions::default()).expect("a good trace").0
}

/// The header of an invocations file with minutes 1 to `minutes`.
fn azure_header(minutes: usize) -> String {
    let numbers: Vec<String> = (1..=minutes).map(|minute| minute.to_string()).collect();
    format!("HashOwner,HashApp,HashFunction,Trigger,{}\n", numbers.join(","))
}

/// One whole day of function `f` invoked once, in minute `at`.
fn azure_day(at: usize) -> String {
    let counts: Vec<&str> = (0..1440).map(|minute| if minute == at { "1" } else { "0" }).collect();
    format!("{}o,a,f,timer,{}\n", azure_header(1440), counts.join(","))
}

#[test]
fn long_folder_with_functions_split_and_events() {
    let folder = Folder::with(
        "long",
        &[
            (
                "functions.csv",
                "func,name,workflow,parent,cold_s,mem_mb,dur_mean_s\n0,front,3,-1,1.5,128,2\n1,back,3,0,2,512,4\n",
            ),
            ("series.csv", "minute,func,cnt,act\n0,0,2,1\n1,1,1,1\n"),
            ("split.csv", "key,value\ntrain_end,1\nvalid_end,2\nend,4\n"),
            ("events.csv", "func,start_s,dur_s\n1,61,4\n0,5,2\n0,30,2\n"),
        ],
    );
    let (trace, split) = read(&folder.0, &ReadOptions::default()).expect("a good trace");
    assert_eq!(split.map(|s| (s.train_end, s.valid_end, s.end)), Some((1, 2, 4)));
    assert_eq!(trace.minutes, 4);
    assert_eq!(trace.counts, [[2, 0, 0, 0], [0, 1, 0, 0]]);
    assert_eq!(trace.peaks, [[1, 0, 0, 0], [0, 1, 0, 0]]);
    assert_eq!(trace.functions[1].parent, Some(0));
    assert_eq!(trace.functions[0].cold_start_s, 1.5);
    let starts: Vec<f64> = trace.events.iter().map(|event| event.start_s).collect();
    assert_eq!(starts, [5.0, 30.0, 61.0]);
}

#[test]
fn a_series_alone_holds_its_containers_for_whole_minutes() {
    let folder = Folder::with("series", &[("series.csv", "minute,func,cnt,act\n0,0,9,2\n2,0,1,1\n")]);
    let trace = read_all(&folder.0.join("series.csv"));
    assert_eq!(trace.peaks, [[2, 0, 1]]);
    let events: Vec<(f64, f64)> = trace.events.iter().map(|e| (e.start_s, e.duration_s)).collect();
    assert_eq!(events, [(0.0, 60.0), (0.0, 60.0), (120.0, 60.0)]);
}

#[test]
fn azure_days_join_their_durations_and_memory() {
    let durations = "HashOwner,HashApp,HashFunction,Average,Count,Minimum,Maximum,percentile_Average_0,\
        percentile_Average_1,percentile_Average_25,percentile_Average_50,percentile_Average_75,\
        percentile_Average_99,percentile_Average_100\no,a,f,1500,9,1,2,1000,1000,1500,1500,1500,2000,2000\n";
    let folder = Folder::with(
        "azure",
        &[
            ("invocations_per_function_md.anon.d01.csv", &azure_day(3)),
            ("invocations_per_function_md.anon.d02.csv", &azure_day(5)),
            ("function_durations_percentiles.anon.d01.csv", durations),
            ("app_memory_percentiles.anon.d01.csv", "HashOwner,HashApp,AverageAllocatedMb\no,a,320\n"),
        ],
    );
    let trace = read_all(&folder.0);
    assert_eq!(trace.minutes, 2880);
    assert_eq!(trace.counts[0][3] + trace.counts[0][1440 + 5], 2);
    assert_eq!(trace.functions[0].memory_mb, 320.0);
    assert_eq!(trace.functions[0].mean_duration_s, 1.5);
    assert!(trace.events.iter().all(|event| (1.0..=2.0).contains(&event.duration_s)));
    // A timer fires at the same second of every minute, up to its jitter.
    let seconds: Vec<f64> = trace.events.iter().map(|event| event.start_s % 60.0).collect();
    assert!((seconds[0] - seconds[1]).abs() < 4.0);
    assert_eq!(trace, read_all(&folder.0), "the placement is reproducible");
}

#[test]
fn azure_counts_may_be_containers() {
    let folder = Folder::with("unit", &[("day.csv", &format!("{}o,a,f,x,2,0\n", azure_header(2)))]);
    let options = ReadOptions { unit: Unit::Containers, ..ReadOptions::default() };
    let (trace, _) = read(&folder.0.join("day.csv"), &options).expect("a good trace");
    assert_eq!(trace.peaks, [[2, 0]]);
    assert_eq!(trace.events.len(), 2);
}

/// Names of the files of 99 days, beginning with the second.
static LATER_DAYS: std::sync::LazyLock<Vec<String>> =
    std::sync::LazyLock::new(|| (2..=100).map(|day| format!("invocations.d{day}.csv")).collect());

/// Every bad input: the files, what is read (the folder, or one file), and what the error must say.
#[test]
fn bad_input_is_named_with_its_place_and_its_mend() {
    let d01 = "invocations_per_function_md.anon.d01.csv";
    let d03 = "invocations_per_function_md.anon.d03.csv";
    let header = "minute,func,cnt,act\n";
    let functions = "func,name,workflow,parent,cold_s,mem_mb,dur_mean_s\n";
    let split = |rows: &str| format!("key,value\n{rows}");
    type Case<'a> = (&'a str, Vec<(&'a str, String)>, &'a str, &'a [&'a str]);
    let cases: Vec<Case<'_>> = vec![
        ("empty", vec![("a.csv", String::new())], "a.csv", &["a.csv", "is empty"]),
        ("header", vec![("a.csv", header.into())], "a.csv", &["a.csv", "no rows"]),
        ("absent", vec![], "a.csv", &["a.csv", "No such file", "check the path"]),
        ("nothing", vec![], "", &["the folder holds no trace", "series.csv"]),
        (
            "width",
            vec![("a.csv", format!("{header}0,0,1,1\n1,0,1\n"))],
            "a.csv",
            &["a.csv:3: 3 columns where the header has 4", "complete"],
        ),
        (
            "word",
            vec![("a.csv", format!("{header}0,0,x,1\n"))],
            "a.csv",
            &["a.csv:2 column 3 (cnt): `x` is not a whole number", "at least 0"],
        ),
        (
            "negative",
            vec![("a.csv", format!("{header}0,0,1,1\n1,0,1,-4\n"))],
            "a.csv",
            &["a.csv:3 column 4 (act): `-4` is negative"],
        ),
        ("nan", vec![("a.csv", format!("{header}0,0,NaN,1\n"))], "a.csv", &["`NaN` is not a whole number"]),
        (
            "line feed in a field",
            vec![("a.csv", format!("{header}0,0,\"1\n2\",1\n"))],
            "a.csv",
            &["`1\\n2` is not a whole number"],
        ),
        (
            "large count",
            vec![("a.csv", format!("{header}0,0,1e18,1\n"))],
            "a.csv",
            &["a.csv:2 column 3 (cnt): `1e18` is too large", "below 2^32"],
        ),
        (
            "carriage returns",
            vec![("a.csv", format!("{header}0,0,1,1\n1,0,x,1").replace('\n', "\r\n"))],
            "a.csv",
            &["a.csv:3 column 3 (cnt): `x`"],
        ),
        (
            "blank lines",
            vec![("a.csv", format!("{header}\n0,0,1,1\n\n\n1,0,x,1\n"))],
            "a.csv",
            &["a.csv:6 column 3 (cnt): `x`"],
        ),
        (
            "byte order mark and quotes",
            vec![("a.csv", "\u{feff}\"minute\",\"func\",\"cnt\",\"act\"\n\"0\",0,1,x\n".into())],
            "a.csv",
            &["a.csv:2 column 4 (act): `x`"],
        ),
        (
            "column twice",
            vec![("a.csv", "minute,func,cnt,act,cnt\n0,0,1,1,2\n".into())],
            "a.csv",
            &["a.csv:1: the column `cnt` is there twice"],
        ),
        ("foreign", vec![("a.csv", "a,b\n1,2\n".into())], "a.csv", &["a.csv:1: no column `minute`"]),
        (
            "semicolons",
            vec![("a.csv", "minute;func;cnt;act\n0;0;1;1\n".into())],
            "a.csv",
            &["separate the columns by commas"],
        ),
        (
            "twice",
            vec![("a.csv", format!("{header}0,0,1,1\n0,0,1,1\n"))],
            "a.csv",
            &["a.csv:3", "twice in this minute"],
        ),
        (
            "unlisted",
            vec![("functions.csv", functions.into()), ("series.csv", format!("{header}0,0,1,1\n"))],
            "",
            &["series.csv:2 column 2 (func): `0` is not in functions.csv"],
        ),
        (
            "duplicate function",
            vec![
                ("series.csv", header.into()),
                ("functions.csv", format!("{functions}0,a,-1,-1,2,256,1\n0,a,-1,-1,2,256,1\n")),
            ],
            "",
            &["functions.csv:3 column 1 (func): `0` is not the next function, 1"],
        ),
        (
            "parent",
            vec![("series.csv", header.into()), ("functions.csv", format!("{functions}0,a,-1,7,2,256,1\n"))],
            "",
            &["functions.csv:2 column 4 (parent): `7` is no function"],
        ),
        (
            "ring",
            vec![
                ("series.csv", header.into()),
                (
                    "functions.csv",
                    format!(
                        "{functions}0,a,-1,3,2,256,1\n1,b,-1,0,2,256,1\n2,c,-1,1,2,256,1\n3,d,-1,2,2,256,1\n"
                    ),
                ),
            ],
            "",
            &["functions.csv:5 column 4 (parent): `2` makes the function follow itself"],
        ),
        (
            "ring of one",
            vec![("series.csv", header.into()), ("functions.csv", format!("{functions}0,a,-1,0,2,256,1\n"))],
            "",
            &["functions.csv:2 column 4 (parent): `0` makes the function follow itself"],
        ),
        (
            "no memory",
            vec![("series.csv", header.into()), ("functions.csv", format!("{functions}0,a,-1,-1,2,0,1\n"))],
            "",
            &["functions.csv:2 column 6 (mem_mb): `0` is not above 0"],
        ),
        (
            "no concurrency",
            vec![
                ("series.csv", header.into()),
                (
                    "functions.csv",
                    format!("{}0,a,-1,-1,2,256,1,0\n", functions.replace("\n", ",concurrency\n")),
                ),
            ],
            "",
            &["functions.csv:2 column 8 (concurrency): `0` serves nothing"],
        ),
        (
            "no events",
            vec![("series.csv", format!("{header}0,0,1,1\n")), ("events.csv", "func,start_s,dur_s\n".into())],
            "",
            &["events.csv: the file has no rows", "remove the file"],
        ),
        (
            "zero split",
            vec![
                ("series.csv", format!("{header}0,0,1,1\n")),
                ("split.csv", split("train_end,5\nvalid_end,5\nend,9\n")),
            ],
            "",
            &["split.csv: the validation part, from minute 5 to before 5, is empty", "train_end < valid_end"],
        ),
        (
            "too wide and too long",
            vec![("a.csv", format!("{header}5000000,0,1,1\n0,1000000,1,1\n"))],
            "a.csv",
            &["a.csv: 1000001 functions over 5000001 minutes"],
        ),
        (
            "split too long",
            vec![
                ("series.csv", format!("{header}0,999,1,1\n")),
                ("split.csv", split("train_end,5\nvalid_end,7\nend,5000000\n")),
            ],
            "",
            &["1000 functions over 5000000 minutes"],
        ),
        (
            "missing day",
            vec![(d01, azure_day(1)), (d03, azure_day(1))],
            "",
            &["d03.csv: the day before it, d02, is missing", "add its file"],
        ),
        (
            "too many days",
            {
                let rows: String = (0..1865).map(|f| format!("o,a,{f},x{}\n", ",0".repeat(1440))).collect();
                let mut days = vec![("invocations.d1.csv", azure_header(1440) + &rows)];
                days.extend(LATER_DAYS.iter().map(|day| (day.as_str(), String::new())));
                days
            },
            "",
            &["d1.csv: 1865 functions over 144000 minutes"],
        ),
        (
            "minute columns",
            vec![("a.csv", azure_header(5).replace(",3,", ",7,"))],
            "a.csv",
            &["a.csv:1 column 7: `7` is not the next minute"],
        ),
        (
            "last minute column",
            vec![("a.csv", "HashOwner,HashApp,HashFunction,Trigger,4294967295,0\n".into())],
            "a.csv",
            &["a.csv:1 column 6: `0` is not the next minute"],
        ),
        (
            "short day",
            vec![(d01, azure_day(1)), ("invocations.d02.csv", format!("{}o,a,f,x,1,2\n", azure_header(2)))],
            "",
            &["d02.csv:1: 2 minute columns where a day has 1440"],
        ),
        (
            "azure duplicate",
            vec![("a.csv", format!("{}o,a,f,x,1,2\no,a,f,x,1,2\n", azure_header(2)))],
            "a.csv",
            &["a.csv:3 column 3 (HashFunction): `f` appears twice on this day"],
        ),
        (
            "azure negative",
            vec![("a.csv", format!("{}o,a,f,x,1,-2\n", azure_header(2)))],
            "a.csv",
            &["a.csv:2 column 6 (2): `-2` is negative"],
        ),
        (
            "too much",
            vec![("a.csv", format!("{}o,a,f,x,4000000000,2\n", azure_header(2)))],
            "a.csv",
            &["4000000002 invocations, and at most 200000000"],
        ),
    ];
    for (case, files, target, expected) in cases {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let folder = Folder::with(case, &files);
        let error = read(&folder.0.join(target), &ReadOptions::default()).expect_err(case);
        let line = error.to_string();
        assert_eq!(error.exit_code(), 2, "{case}: {line}");
        assert!(!line.contains('\n'), "{case}: one line, got {line}");
        for part in expected {
            assert!(line.contains(part), "{case}: {line:?} does not say {part:?}");
        }
    }
}

#[test]
fn a_truncated_gzip_file_is_an_error() {
    use std::io::Write;
    let folder = Folder::with("gzip", &[]);
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(azure_day(7).as_bytes()).expect("writing to memory");
    let whole = encoder.finish().expect("writing to memory");
    let path = folder.0.join("day.csv.gz");
    fs::write(&path, &whole).expect("a writable temporary folder");
    assert_eq!(read_all(&path).counts[0][7], 1);
    fs::write(&path, &whole[..whole.len() / 2]).expect("a writable temporary folder");
    let error = read(&path, &ReadOptions::default()).expect_err("half a file");
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("day.csv.gz:"), "{error}");
    // Uncompressed inside, so that half the bytes are half the lines.
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    let rows: String = (10_000..99_999).map(|minute| format!("{minute},0,1,1\n")).collect();
    encoder.write_all(format!("minute,func,cnt,act\n{rows}").as_bytes()).expect("writing to memory");
    let whole = encoder.finish().expect("writing to memory");
    fs::write(&path, &whole[..whole.len() / 2]).expect("a writable temporary folder");
    let error = read(&path, &ReadOptions::default()).expect_err("half a file").to_string();
    let line = error.split(".gz:").nth(1).and_then(|rest| rest.split(':').next()?.parse::<u32>().ok());
    assert!(line.is_some_and(|line| (44_000..46_000).contains(&line)), "{error}");
}
