//! One peer per process: DQL lines on standard input, rows as JSON lines on standard output.
//!
//! Two of these in two terminals are a mesh:
//!
//! ```sh
//! cargo run --example peer -- --dir /tmp/a --listen 127.0.0.1:4040
//! cargo run --example peer -- --dir /tmp/b --connect 127.0.0.1:4040
//! ```
//!
//! Input may be piped; then the exit code is 1 if any line failed. Errors go to standard error with the number of the
//! line. `.help` lists the commands.

mod arguments;
mod output;
mod session;

use std::{
    error::Error,
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use clap::Parser;
use ditto_examples::command::Command;

use self::{arguments::Arguments, session::Session};

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("peer: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether every line succeeded, or whether it does not matter because a person typed them.
fn run(arguments: &Arguments) -> Result<bool, Box<dyn Error>> {
    let is_interactive = io::stdin().is_terminal();
    let mut session = Session::open(arguments, is_interactive)?;
    let mut all_succeeded = true;
    let mut input = io::stdin().lock();
    let mut line = Vec::new();
    let mut number = 0_u64;
    loop {
        if is_interactive {
            eprint!("> ");
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        number += 1;
        let command = str::from_utf8(&line)
            .map_err(|error| format!("this is not UTF-8: {error}"))
            .and_then(Command::parse);
        let done = match command {
            Ok(Command::Quit) => break,
            Ok(command) => session.run(command),
            Err(error) => Err(error.into()),
        };
        if let Err(error) = done {
            if is_pipe_closed(error.as_ref()) {
                break;
            }
            all_succeeded = false;
            let text = match is_interactive {
                true => format!("error: {error}\n"),
                false => format!("error in line {number}: {error}\n"),
            };
            // In one piece, or the library's log lines may get in between.
            io::stderr().write_all(text.as_bytes())?;
        }
    }
    session.close();
    Ok(all_succeeded || is_interactive)
}

/// Nobody reads the rows any more, such as after `| head`.
fn is_pipe_closed(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
