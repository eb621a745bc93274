use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Operations that `core/no-panic` cannot keep, and why.
const EXCEPTIONS: [(&str, &str); 0] = [];

/// Every public function of the core is in the lists of `core/no-panic`, and these name nothing else.
#[test]
fn every_operation_is_proven_not_to_panic() {
    let core = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut public = BTreeMap::new();
    for file in sources(&core.join("src")) {
        for name in operations(&file) {
            let other = public.insert(name.clone(), file.clone());
            assert_eq!(other, None, "{name} in two files, which the lists cannot tell apart; rename one");
        }
    }
    assert!(public.len() > 250, "only {} operations: how they are found is wrong", public.len());
    let excepted: BTreeSet<_> = EXCEPTIONS.iter().map(|(name, _)| (*name).to_string()).collect();
    let lists = sources(&core.join("no-panic/src"));
    lists.iter().for_each(|file| check_kept(file));
    let proven: BTreeSet<_> = lists.iter().flat_map(|file| listed(file)).collect();
    let public: BTreeSet<_> = public.into_keys().collect();
    let known = &proven | &excepted;
    let missing: Vec<_> = public.difference(&known).collect();
    assert!(missing.is_empty(), "not in a list of core/no-panic: {missing:?}");
    let gone: Vec<_> = known.difference(&public).collect();
    assert!(gone.is_empty(), "in a list of core/no-panic, and not public in the core: {gone:?}");
}

/// A list counts where it is compiled and called; that of both number types with both. (What is compiled and not called does
/// not build.)
fn check_kept(file: &Path) {
    let text = |file: &Path| fs::read_to_string(file).expect("a source file");
    let (main, name) = (text(&file.with_file_name("main.rs")), file.file_stem().expect("a name"));
    let name = name.to_str().expect("ASCII");
    let has = |text: &str, line: &str| text.lines().any(|found| found.trim_start() == line);
    if name != "main" {
        let kept = [format!("mod {name};"), format!("{name}::keep();")];
        assert!(kept.iter().all(|line| has(&main, line)), "main.rs lacks one of {kept:?}");
    }
    let list = text(file);
    let generic = list.lines().filter_map(|line| line.strip_prefix("fn ")?.split_once("<R: Real>"));
    for (function, _) in generic {
        let kept = ["f32", "f64"].map(|real| format!("{function}::<{real}>();"));
        assert!(kept.iter().all(|line| has(&list, line)), "{name}.rs lacks one of {kept:?}");
    }
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    let files = entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The public functions of a file as `Type::name` or `module::name`. Formatted source has its items at the margin, and
/// the functions of an `impl` one step in.
fn operations(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a source file");
    let module = public_module(file);
    let mut owner = module.clone();
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(of) = line.strip_prefix("impl").filter(|_| !line.ends_with('}')) {
            let of = without_generics(of);
            owner = of.split_whitespace().next().expect("a type").to_string();
        } else if line == "}" {
            owner.clone_from(&module);
        } else if let Some(signature) = line.trim_start().strip_prefix("pub ") {
            let signature = signature.strip_prefix("const ").unwrap_or(signature);
            if let Some(name) = signature.strip_prefix("fn ").and_then(|rest| rest.split(['(', '<']).next()) {
                found.push(format!("{owner}::{name}"));
            }
        }
    }
    found
}

/// The module a file's functions are public in: its own, or that which keeps it private and re-exports them.
fn public_module(file: &Path) -> String {
    let folder = file.parent().expect("a folder");
    let stem = file.file_stem().expect("a name").to_str().expect("ASCII");
    let around = fs::read_to_string(folder.join("mod.rs")).unwrap_or_default();
    let is_private = around.lines().any(|line| line == format!("mod {stem};"));
    let name =
        if stem == "mod" || is_private { folder.file_name().expect("a name").to_str() } else { Some(stem) };
    name.expect("ASCII").to_string()
}

/// What a list of `core/no-panic` names, with aliases of types taken back.
fn listed(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).expect("a source file");
    let mut types = BTreeMap::new();
    let mut modules = BTreeMap::new();
    for line in text.lines() {
        if let Some((alias, of)) = line.strip_prefix("type ").and_then(|alias| alias.split_once(" = ")) {
            types.insert(alias.to_string(), without_generics(of).trim_end_matches(';').to_string());
        }
    }
    // `use aquatope_core::a::b::{self, function, Type};` makes `function` that of module b.
    let imports = text.split("use aquatope_core::").skip(1).filter_map(|import| import.split_once(';'));
    for (import, _) in imports {
        let (path, names) = import.rsplit_once("::").expect("a path");
        let (path, names) = match import.split_once("::{") {
            Some((path, names)) => (path, names.trim_end_matches('}')),
            None => (path, names),
        };
        let module = path.rsplit("::").next().expect("a module");
        for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            modules.insert(name.to_string(), module.to_string());
        }
    }
    let entries = text.lines().filter_map(|line| Some(line.trim_start().split_once(": fn(")?.0));
    let names = entries.map(|entry| without_generics(entry).replace("::::", "::"));
    let names = names.filter(|name| !name.contains(' '));
    let name = |name: String| {
        let name = name.trim_end_matches("::");
        Some(match name.rsplit_once("::") {
            Some((owner, name)) => format!("{}::{name}", types.get(owner).map_or(owner, String::as_str)),
            // What is not imported is a helper of the list.
            None => format!("{}::{name}", modules.get(name)?),
        })
    };
    names.filter_map(name).collect()
}

/// A path or an `impl` without what stands in angle brackets.
fn without_generics(path: &str) -> String {
    let mut depth = 0;
    let mut outside = String::new();
    for (at, character) in path.char_indices() {
        match character {
            '<' => depth += 1,
            '>' if !path[..at].ends_with('-') => depth -= 1,
            _ if depth == 0 => outside.push(character),
            _ => {}
        }
    }
    outside
}
