//! A patch: what is wrong in it, who may catch it, and a unified diff. Applied by ourselves, so that no tool is needed and
//! nothing is guessed: the old lines must be in the file exactly once, or exactly where the diff says.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// One planted bug.
#[derive(Clone, Debug)]
pub(crate) struct Patch {
    /// The name of its file.
    pub(crate) name: String,
    /// The mistake.
    pub(crate) what: String,
    /// Invariants that may catch it.
    pub(crate) expect: Vec<String>,
    /// What is changed.
    pub(crate) hunks: Vec<Hunk>,
}

/// One place that is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hunk {
    /// In the workspace.
    pub(crate) file: PathBuf,
    /// The index of its first old line.
    line: usize,
    old: Vec<String>,
    new: Vec<String>,
}

/// Where the patches are.
#[must_use]
pub fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("planted")
}

/// All patches of a directory, by name.
pub(crate) fn load(directory: &Path) -> Result<Vec<Patch>, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", directory.display());
    let mut patches = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            patches.push(Patch::parse(&name, &text)?);
        }
    }
    patches.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(patches)
}

impl Patch {
    fn parse(name: &str, text: &str) -> Result<Patch, String> {
        let field = |field: &str| {
            let found = text.lines().take_while(|line| line.starts_with('#')).find_map(|line| line.strip_prefix(field));
            found.map(str::trim).filter(|text| !text.is_empty()).ok_or_else(|| format!("{name}: no line `{field}`"))
        };
        let what = field("# what:")?.to_owned();
        let expect = field("# expect:")?.split(',').map(|name| name.trim().to_owned()).collect();
        let hunks = parse_hunks(text).map_err(|error| format!("{name}: {error}"))?;
        Ok(Patch { name: name.to_owned(), what, expect, hunks })
    }

    /// The files that it changes.
    pub(crate) fn files(&self) -> BTreeSet<&Path> {
        self.hunks.iter().map(|hunk| hunk.file.as_path()).collect()
    }

    /// The text of `file` with this patch.
    pub(crate) fn applied(&self, file: &Path, text: &str) -> Result<String, String> {
        let mut lines: Vec<&str> = text.split_inclusive('\n').collect();
        let mut moved = 0_isize;
        for hunk in self.hunks.iter().filter(|hunk| hunk.file == file) {
            let at = hunk.place(&lines, moved).ok_or_else(|| {
                format!("line {} of {} is not what it was, or is there twice", hunk.line + 1, file.display())
            })?;
            lines.splice(at..at + hunk.old.len(), hunk.new.iter().map(String::as_str));
            moved += hunk.new.len() as isize - hunk.old.len() as isize;
        }
        Ok(lines.concat())
    }
}

impl Hunk {
    /// Where its old lines are.
    fn place(&self, lines: &[&str], moved: isize) -> Option<usize> {
        let is_here = |at: usize| lines.get(at..at + self.old.len()).is_some_and(|found| *found == self.old[..]);
        let named = self.line.checked_add_signed(moved)?;
        if is_here(named) {
            return Some(named);
        }
        let mut places = (0..lines.len()).filter(|at| is_here(*at));
        places.next().filter(|_| places.next().is_none())
    }
}

fn parse_hunks(text: &str) -> Result<Vec<Hunk>, String> {
    let mut hunks: Vec<Hunk> = Vec::new();
    let mut file = None;
    let mut left = (0, 0);
    for line in text.split_inclusive('\n') {
        if left == (0, 0) {
            if let Some(path) = line.strip_prefix("+++ b/") {
                file = Some(PathBuf::from(path.trim_end()));
            } else if let Some(ranges) = line.strip_prefix("@@ -") {
                let file = file.clone().ok_or("a hunk before the name of its file")?;
                let (first, counts) = parse_ranges(ranges).ok_or_else(|| format!("bad line `{}`", line.trim_end()))?;
                left = counts;
                hunks.push(Hunk { file, line: first.saturating_sub(1), old: Vec::new(), new: Vec::new() });
            } else if !line.starts_with('#') && !line.starts_with("--- a/") {
                return Err(format!("a line that belongs to no hunk: `{}`", line.trim_end()));
            }
            continue;
        }
        let hunk = hunks.last_mut().ok_or("a line before the first hunk")?;
        let (kind, content) = line.split_at_checked(1).ok_or("an empty line in a hunk")?;
        if matches!(kind, " " | "-") {
            hunk.old.push(content.to_owned());
            left.0 = usize::checked_sub(left.0, 1).ok_or("a hunk has more old lines than it says")?;
        }
        if matches!(kind, " " | "+") {
            hunk.new.push(content.to_owned());
            left.1 = usize::checked_sub(left.1, 1).ok_or("a hunk has more new lines than it says")?;
        }
        if !matches!(kind, " " | "-" | "+") {
            return Err(format!("bad line `{}`", line.trim_end()));
        }
    }
    match left {
        (0, 0) if !hunks.is_empty() => Ok(hunks),
        (0, 0) => Err("no hunk".to_owned()),
        _ => Err("the last hunk has fewer lines than it says".to_owned()),
    }
}

/// `12,5 +12,6 @@`: the first old line, and how many old and new lines there are.
fn parse_ranges(text: &str) -> Option<(usize, (usize, usize))> {
    let (old, rest) = text.split_once(" +")?;
    let (new, _) = rest.split_once(" @@")?;
    let range = |text: &str| {
        let (first, count) = text.split_once(',').unwrap_or((text, "1"));
        Some((first.parse::<usize>().ok()?, count.parse::<usize>().ok()?))
    };
    let ((first, old), (_, new)) = (range(old)?, range(new)?);
    Some((first, (old, new)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invariants::{NAMES, NAMES_ELSEWHERE};

    /// Where the mistakes are made: the code that runs in production and in the simulator alike.
    const PLACES: [&str; 5] =
        ["engine/core/src", "engine/lane/src", "storage/journal/src", "storage/archive/src", "gateway/src"];

    fn patch(diff: &str) -> Result<Patch, String> {
        Patch::parse("p", &format!("# what: w\n# expect: a, b\n--- a/f\n+++ b/f\n{diff}"))
    }

    #[test]
    fn every_patch_applies_to_this_tree_and_changes_production_code_only() {
        let patches = load(&directory()).expect("the patches are well-formed");
        assert!(patches.len() >= 60, "{} patches", patches.len());
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut whats = BTreeSet::new();
        let mut wrong = Vec::new();
        for patch in &patches {
            assert!(whats.insert(&patch.what), "{}: two patches make the same mistake", patch.name);
            let known = |name: &String| NAMES.contains(&name.as_str()) || NAMES_ELSEWHERE.contains(&name.as_str());
            assert!(!patch.expect.is_empty() && patch.expect.iter().all(known), "{}: {:?}", patch.name, patch.expect);
            for file in patch.files() {
                assert!(PLACES.iter().any(|place| file.starts_with(place)), "{}: {}", patch.name, file.display());
                let text = fs::read_to_string(root.join(file)).expect("a file of the workspace");
                match patch.applied(file, &text) {
                    Ok(changed) => assert_ne!(changed, text, "{} changes nothing", patch.name),
                    Err(error) => wrong.push(format!("{}: {error}", patch.name)),
                }
            }
        }
        assert!(wrong.is_empty(), "these no longer apply: {wrong:#?}");
    }

    #[test]
    fn a_hunk_is_found_where_it_is_said_to_be_or_at_the_only_place() {
        let patch = patch("@@ -2,2 +2,2 @@\n b\n-c\n+d\n").expect("good");
        assert_eq!(patch.expect, ["a", "b"]);
        let applied = |text: &str| patch.applied(Path::new("f"), text).ok();
        assert_eq!(applied("a\nb\nc\nb\nc\n").as_deref(), Some("a\nb\nd\nb\nc\n"));
        assert_eq!(applied("a\na\nb\nc\n").as_deref(), Some("a\na\nb\nd\n"));
        assert_eq!(applied("a\na\nb\nc\nb\nc\n"), None, "which one?");
        assert_eq!(applied("a\nb\n"), None);
    }

    #[test]
    fn what_is_no_patch_is_refused() {
        for bad in ["", "@@ -1 +1 @@\n-a\n", "@@ -1 +1 @@\n-a\n+b\n+c\n", "@@ 1 @@\n", "@@ -1 +1 @@\nxa\n"] {
            assert!(patch(bad).is_err(), "{bad:?}");
        }
        assert!(Patch::parse("p", "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-a\n+b\n").is_err(), "no header");
    }
}
