//! The `attest` program: what was typed → resolved options → a library call →
//! rendering. The commands are in `commands`, one file each; nothing is
//! computed here that a library user would miss.

mod args;
mod commands;
mod input;
mod ledger;
mod limits;
mod outcome;
mod paint;
mod printer;
mod progress;
mod service;
mod signals;
mod systemd;

use args::{Cli, Command, LogFormat};
use clap::Parser as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => return outcome::told(&told),
    };
    init_log(cli.log_format);
    signals::survive_file_size_limit();
    let color = cli.color;
    if let Err(error) = limits::check(&cli.command) {
        return outcome::end(outcome::exit_code(Err(error), color));
    }
    if let Some(path) = &cli.models
        && let Err(error) = input::models(path)
    {
        return outcome::end(outcome::exit_code(Err(error), color));
    }
    let ledger = cli.ledger.as_ref();
    let result = match cli.command {
        Command::Detect(args) => commands::detect::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args, ledger, color),
        Command::Challenge(args) => commands::challenge::run(&args, ledger),
        Command::Run(args) => commands::run::run(&args),
        Command::Verify(args) => commands::verify::run(&args, ledger, color),
        Command::Ledger(args) => commands::ledger::run(&args, ledger),
        Command::Validate(args) => commands::validate::run(&args, ledger, color),
        Command::Respond(args) => commands::respond::run(&args),
        Command::Dashboard(args) => commands::dashboard::run(&args, ledger),
        Command::Report(args) => commands::report::run(&args, ledger),
        Command::Agent(args) => commands::agent::run(&args),
        Command::Fleet(args) => commands::fleet::run(&args, ledger),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Key(args) => commands::key::run(&args),
        Command::Export(args) => commands::export::run(&args, color),
        Command::DeviceReport(args) => commands::device_report::run(&args, color),
        Command::MachineReport(args) => commands::machine_report::run(&args, color),
        Command::Policy(args) => commands::policy::run(&args),
        Command::Schema(args) => commands::schema::run(&args),
        Command::Selftest(args) => commands::selftest::run(&args, color),
        Command::Bench(args) => commands::bench::run(&args, color),
        Command::Demo(args) => commands::demo::run(&args, color),
        Command::Completions { shell } => commands::completions::run(shell),
        Command::Man(args) => commands::man::run(&args),
    };
    outcome::end(outcome::exit_code(result, color))
}

/// Logs go to standard error, warnings and worse unless RUST_LOG says otherwise.
fn init_log(format: LogFormat) {
    use tracing_subscriber::filter::{EnvFilter, LevelFilter};
    use tracing_subscriber::fmt::format::debug_fn;
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter.from_env_lossy())
        .with_writer(attest::streams::stderr)
        .with_ansi(false)
        .with_target(false)
        // It would report a closed standard error on standard error, and panic.
        .log_internal_errors(false);
    // Spans begin with `id` or `lane`; what stands in the text anyway is left out.
    let text = debug_fn(|writer, field, value| match field.name() {
        "message" => write!(writer, "{value:?}"),
        name @ ("id" | "lane") => write!(writer, "{name}={value:?}"),
        name if attest::log::IN_THE_TEXT.contains(&name) => Ok(()),
        name => write!(writer, " {name}={value:?}"),
    });
    match format {
        LogFormat::Text => lines.fmt_fields(text).init(),
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
}
