//! Tells the binary which commit it was built from: every report names it.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=.git/HEAD");
    println!("cargo::rerun-if-changed=.git/logs/HEAD");
    println!("cargo::rerun-if-env-changed=ORDERLANE_COMMIT");
    if std::env::var_os("ORDERLANE_COMMIT").is_none()
        && let Some(commit) = commit()
    {
        println!("cargo::rustc-env=ORDERLANE_COMMIT={commit}");
    }
}

/// The short hash, with a mark when the sources differ from it; `None` outside a checkout.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        String::from_utf8(output.stdout).ok()
    };
    let hash = git(&["rev-parse", "--short=12", "HEAD"])?.trim().to_owned();
    let changed =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|status| !status.trim().is_empty());
    Some(if changed { format!("{hash}-dirty") } else { hash })
}
