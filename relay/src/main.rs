//! `comms-relay`: the daemon, and the command line for its operator.

use std::process::ExitCode;

fn main() -> ExitCode {
    relay::cli::main()
}
