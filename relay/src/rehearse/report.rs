//! What the audience reads: a transcript as it happens, or JSON at the end.

use std::io::Write;
use std::process::ExitCode;

use serde::Serialize;

use super::stage::Stage;

/// The account of a rehearsal.
#[derive(Serialize)]
pub(super) struct Report {
    ok: bool,
    /// `running`, or `temporary` if the relay lived only for this.
    relay: &'static str,
    scenes: Vec<Scene>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip)]
    json: bool,
}

#[derive(Serialize)]
struct Scene {
    title: &'static str,
    ok: bool,
    lines: Vec<String>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { ok: false, relay: "temporary", scenes: Vec::new(), problem: None, json }
    }

    pub(super) fn opened(&mut self, stage: &Stage) -> anyhow::Result<()> {
        self.relay = if stage.is_temporary() { "temporary" } else { "running" };
        self.print(&format!("Rehearsal on a {} relay in demo mode. No account, no cost.", self.relay))
    }

    /// The scene before this one came out as it should.
    pub(super) fn scene(&mut self, title: &'static str) -> anyhow::Result<()> {
        self.end_scene();
        self.scenes.push(Scene { title, ok: false, lines: Vec::new() });
        self.print(&format!("\n{title}"))
    }

    /// Somebody says or does something.
    pub(super) fn line(&mut self, who: &str, what: &str) -> anyhow::Result<()> {
        for (at, part) in wrapped(what).iter().enumerate() {
            self.print(&format!("  {:<8} {part}", if at == 0 { who } else { "" }))?;
        }
        if let Some(scene) = self.scenes.last_mut() {
            scene.lines.push(format!("{who:<8} {what}"));
        }
        Ok(())
    }

    /// The last word, and the exit code.
    pub(super) fn close(mut self, played: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
        match played {
            Ok(()) => {
                self.end_scene();
                self.ok = true;
                self.print("\nEvery scene came out as it should.")?;
            }
            Err(problem) => {
                let problem = format!("{problem:#}");
                self.print(&format!("\nThe rehearsal failed: {problem}"))?;
                self.problem = Some(problem);
            }
        }
        if self.json {
            writeln!(std::io::stdout(), "{}", serde_json::to_string_pretty(&self)?)?;
        }
        Ok(if self.ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn end_scene(&mut self) {
        if let Some(scene) = self.scenes.last_mut() {
            scene.ok = true;
        }
    }

    fn print(&self, text: &str) -> anyhow::Result<()> {
        if !self.json {
            writeln!(std::io::stdout(), "{text}")?;
        }
        Ok(())
    }
}

/// The words in lines that fit a terminal beside the name of who says them.
fn wrapped(text: &str) -> Vec<String> {
    const WIDTH: usize = 96;
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().expect("there is one from the beginning");
        if !line.is_empty() && line.chars().count() + word.chars().count() >= WIDTH {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}
