//! The book and the README: their links lead somewhere, their commands are commands, and those of the tutorial are run.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use aquatope::cli;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The pages of the book in its order, as SUMMARY.md lists them.
fn pages() -> Vec<PathBuf> {
    let source = root().join("docs/src");
    links(&read(&source.join("SUMMARY.md"))).into_iter().map(|link| source.join(link)).collect()
}

/// The pages, and the README.
fn documents() -> Vec<PathBuf> {
    [pages(), vec![root().join("README.md")]].concat()
}

/// Targets of `[text](target)`, outside of code.
fn links(text: &str) -> Vec<String> {
    let prose: String = text.split("```").step_by(2).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// Code blocks of this language, as the text after the three backquotes has it.
fn blocks<'t>(text: &'t str, language: &str) -> Vec<&'t str> {
    let fenced = text.split("```").skip(1).step_by(2);
    fenced
        .filter_map(|block| block.split_once('\n'))
        .filter(|(name, _)| *name == language)
        .map(|b| b.1)
        .collect()
}

#[test]
fn links_lead_somewhere() {
    const REPOSITORY: &str = "https://github.com/aquatope/aquatope/";
    let mut found = 0;
    for document in documents() {
        let folder = document.parent().expect("a folder");
        for link in links(&read(&document)) {
            let path = match link.strip_prefix(REPOSITORY) {
                Some(inside) => root().join(inside.splitn(3, '/').nth(2).unwrap_or("")),
                None if link.contains("://") => continue,
                None => folder.join(link.split('#').next().unwrap_or("")),
            };
            assert!(path.exists(), "{}: {link}", document.display());
            found += 1;
        }
    }
    assert!(found > 25, "{found}");
}

#[test]
fn every_page_is_in_the_summary_and_every_include_is_there() {
    let pages = pages();
    let mut seen = 0;
    for folder in ["", "tutorial", "how-to", "reference", "explanation"] {
        let entries = fs::read_dir(root().join("docs/src").join(folder)).expect("a folder of the book");
        seen += entries.filter(|entry| entry.as_ref().is_ok_and(|entry| entry.path().is_file())).count();
    }
    // And the summary itself.
    assert_eq!(seen, pages.len() + 1);
    for page in pages {
        let text = read(&page);
        for include in text.split("{{#include ").skip(1) {
            let target = include.split("}}").next().unwrap_or("");
            let (file, anchor) = target.split_once(':').unwrap_or((target, ""));
            let included = read(&page.parent().expect("a folder").join(file));
            for mark in ["ANCHOR", "ANCHOR_END"] {
                assert!(
                    anchor.is_empty() || included.contains(&format!("<!-- {mark}: {anchor} -->")),
                    "{}: {target}",
                    page.display()
                );
            }
        }
    }
}

#[test]
fn commands_are_commands() {
    let makefile = read(&root().join("Makefile"));
    let mut found = [0; 3];
    for document in documents() {
        for (command, whole) in commands(&read(&document)) {
            let words = words(&command);
            let at = format!("{}: {command}", document.display());
            match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["aquatope", ..] => {
                    let parsed = cli::command().try_get_matches_from(words.iter().map(OsString::from));
                    let kind = parsed.err().map(|error| error.kind());
                    use clap::error::ErrorKind::{DisplayHelp, MissingRequiredArgument};
                    let cut = !whole && kind == Some(MissingRequiredArgument);
                    assert!(kind.is_none_or(|kind| kind == DisplayHelp) || cut, "{at}: {kind:?}");
                    found[0] += 1;
                }
                ["make", target, ..] => {
                    assert!(makefile.contains(&format!("\n{target}:")), "{at}");
                    found[1] += 1;
                }
                ["cargo", "run", "-p", "aquatope-core", "--example", example, ..] => {
                    assert!(root().join(format!("core/examples/{example}.rs")).exists(), "{at}");
                    found[2] += 1;
                }
                _ => {}
            }
        }
    }
    assert!(found[0] > 25 && found[1] > 10 && found[2] > 3, "{found:?}");
}

/// The lines of shell blocks, which are whole commands, and what stands between backquotes in prose, which may leave out
/// what the sentence is not about.
fn commands(text: &str) -> Vec<(String, bool)> {
    let lines = [blocks(text, "sh"), blocks(text, "sh,run")].concat();
    let lines = lines.into_iter().flat_map(str::lines).map(|line| (line.trim().to_owned(), true));
    let prose: String = text.split("```").step_by(2).collect();
    let quoted = prose.split('`').skip(1).step_by(2).filter(|quoted| quoted.contains(' '));
    let quoted = quoted.map(|quoted| (quoted.replace('\n', " "), false));
    // Places for an argument of the reader's.
    let placeless = |(command, _): &(String, bool)| !command.contains("...") && !command.contains("FILE");
    lines.chain(quoted).filter(placeless).collect()
}

/// The words of a shell command, up to a comment, a pipe or a redirection; without assignments before it.
fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in command.chars() {
        let last = words.last_mut().expect("at least one");
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '#' | '|' | '>' | '<' | ';') => break,
            (None, c) if c.is_whitespace() => words.push(String::new()),
            _ => last.push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    let assigned = |word: &String| {
        word.split_once('=').is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    words.into_iter().skip_while(assigned).collect()
}

#[test]
fn words_of_a_command() {
    assert_eq!(
        words("A_B=c aquatope tune --evaluator 'python3 m.py' > x # y"),
        ["aquatope", "tune", "--evaluator", "python3 m.py"]
    );
}

/// The blocks marked `sh,run` of a page, one after the other in one folder.
fn run(page: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book").join(page.replace(['/', '.'], "-"));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a writable target folder");
    let text = read(&root().join("docs/src").join(page));
    let blocks = blocks(&text, "sh,run");
    assert!(!blocks.is_empty(), "{page}");
    let programs = Path::new(env!("CARGO_BIN_EXE_aquatope")).parent().expect("a folder");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([programs.to_owned()].into_iter().chain(std::env::split_paths(&path)));
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &blocks.concat()])
        .current_dir(&folder)
        .env("PATH", path.expect("a path"))
        .output()
        .expect("bash");
    assert!(output.status.success(), "{page}: {}", String::from_utf8_lossy(&output.stderr));
    folder
}

#[test]
fn the_first_replay_is_as_written() {
    let report = read(&run("tutorial/replay.md").join("report/report.html"));
    assert!(report.contains("keep-alive"));
}

#[test]
fn the_first_tuned_workflow_is_as_written() {
    let folder = run("tutorial/tune.md");
    assert!(folder.join("tuned/tune.html").exists() && folder.join("study.aqs").exists());
}

#[test]
fn a_workflow_of_ones_own_is_as_written() {
    let folder = run("how-to/workflow.md");
    assert!(folder.join("mine-tuned/tune.html").exists() && folder.join("mine.aqs").exists());
}

#[test]
fn the_container_is_not_run_by_root() {
    let file = read(&root().join("host/service/deploy/Dockerfile"));
    let last_stage = file.rsplit("\nFROM ").next().expect("a stage");
    let lines: Vec<&str> = last_stage.lines().collect();
    let at = |begin: &str| lines.iter().position(|line| line.starts_with(begin)).expect(begin);
    assert!(at("USER aquatope") < at("ENTRYPOINT") && last_stage.contains("useradd --system"));
}
