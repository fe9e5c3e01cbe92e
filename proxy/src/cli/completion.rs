//! `weir completion`: scripts that let shells complete this command line.

use clap_complete::Shell;

use super::failure::Failure;
use super::terminal;

/// Print a script that completes weir's command line in a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  weir completion bash > /etc/bash_completion.d/weir
  weir completion zsh > \"${fpath[1]}/_weir\"
  weir completion fish > ~/.config/fish/completions/weir.fish")]
pub(super) struct Args {
    /// The shell
    shell: Shell,
}

pub(super) fn run(args: &Args, command: &mut clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, command, "weir", &mut script);
    terminal::print(&String::from_utf8_lossy(&script))
}
