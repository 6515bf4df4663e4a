//! `completions` and `man`: what packagers install.

use crate::args::Cli;
use crate::failure::{Failure, Outcome};
use crate::out::Out;
use clap::CommandFactory;
use clap_complete::Shell;
use std::path::Path;

/// Prints the completions for a shell.
///
/// # Errors
/// If standard output does not take them.
pub fn completions(out: Out, shell: Shell) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "ostrakon", &mut script);
    out.raw(&script)
}

/// Prints the manual page, or writes those of all commands into `dir`.
///
/// # Errors
/// If they cannot be written.
pub fn man(out: Out, dir: Option<&Path>) -> Outcome {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(Cli::command()).render(&mut page);
        rendered.map_err(|e| Failure::output(&e))?;
        return out.raw(&page);
    };
    let written =
        std::fs::create_dir_all(dir).and_then(|()| clap_mangen::generate_to(Cli::command(), dir));
    written.map_err(|error| {
        Failure::writing(
            dir,
            &error,
            "choose a folder that may be written, or make room",
        )
    })?;
    out.show(&serde_json::json!({"dir": dir.to_string_lossy()}), || {
        format!("The pages are in {}.", dir.display())
    })
}
