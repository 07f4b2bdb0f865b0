//! `comms-mcp`: the arguments, the standard streams, the signals, the exit code.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use mcp_stdio::{Selection, Server, Settings, serve};

/// Phone, SMS, WhatsApp and e-mail for AI agents: an MCP server on stdin and stdout, started by the agent host.
#[derive(Parser)]
#[command(name = "comms-mcp", version)]
struct Arguments {
    /// Offer only the tools that change nothing; wins over --tools.
    #[arg(long)]
    read_only: bool,
    /// Offer only these tools.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    tools: Option<Vec<String>>,
    /// Do not offer these tools.
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    exclude_tools: Vec<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let Arguments { read_only, tools, exclude_tools } = Arguments::parse();
    let selection = Selection { read_only, only: tools, except: exclude_tools };
    let settings = Settings::from_environment()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let server = match Server::new(settings, &selection) {
        Ok(server) => server,
        Err(unknown) => clap::Error::raw(ErrorKind::InvalidValue, format!("{unknown}\n")).exit(),
    };
    let ended = runtime.block_on(async {
        let (read, write) = rmcp::transport::stdio_pipes();
        serve(server, read, write, asked_to_stop()).await
    });
    // A blocking read of stdin may still be under way, and must not hold up the end.
    runtime.shutdown_background();
    ended?;
    Ok(ExitCode::SUCCESS)
}

/// Completes on SIGINT or SIGTERM: hosts use either, and treat them like the end of stdin.
async fn asked_to_stop() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => return,
            _ = tokio::signal::ctrl_c() => return,
        }
    }
    // Without a handler the signal's own effect ends the process.
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
