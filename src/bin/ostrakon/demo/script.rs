//! What happens in the demo, one thing after another.

use super::bound::Gap;
use super::watch::{Look, Watch};
use super::world::World;
use crate::failure::{Failure, Kind, Outcome};
use crate::plain::{bytes, percent, time};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How much of the file the recipient holds when the satellite is cut, in percent.
const CUT_AT: u64 = 30;
/// How much it holds when the sender is killed, in percent.
const KILL_AT: u64 = 50;
/// How long links may take to come up before the message is sent all the same.
const LINKS_UP: Duration = Duration::from_secs(12);
/// How often the nodes are asked.
const EVERY: Duration = Duration::from_millis(100);
/// What stands in the text part.
const TEXT: &str =
    "Bridge at Km 14 is down, use the north road. Two injured, send a medic. Map follows.";

/// What was done, as it was done. Times are milliseconds since the message was sent.
#[derive(Debug, Default)]
pub struct Record {
    /// The message.
    pub message: String,
    /// When it was sent, on the clock that the inbox uses: milliseconds since 1970.
    pub sent_at: u64,
    /// When the satellite was cut and restored.
    pub cuts: Vec<Gap>,
    /// When the sender was killed and its successor was up.
    pub deaths: Vec<Gap>,
    /// Processes that did die of SIGKILL.
    pub kills: u64,
    /// The processes of the sender.
    pub sender_pids: Vec<u32>,
    /// What the recipient held of the file when the sender was killed.
    pub held_at_kill: u64,
    /// What of the sender's bytes had been surplus when its successor started.
    pub surplus_at_restart: u64,
    /// When the sender had the receipt.
    pub receipt_ms: Option<u64>,
}

/// Plays it. Comes back when the message is delivered and the receipt is back.
#[derive(Debug)]
pub struct Script<'a> {
    /// Where.
    pub world: &'a mut World,
    /// Looks at the nodes and shows what it sees.
    pub watch: &'a mut Watch,
    /// What was done so far; it stands even if the rest fails.
    pub record: &'a mut Record,
}

impl Script<'_> {
    /// All of it.
    ///
    /// # Errors
    /// If a process does not do what it should.
    pub async fn play(&mut self, file: &Path) -> Outcome {
        self.links_up().await?;
        let started = self.send(file).await?;
        let look = self
            .until(|look| look.held_percent() >= CUT_AT || look.complete)
            .await?;
        self.expect_more_to_come(&look, "before the satellite could be cut")?;
        self.world.satellite.cut();
        let cut_at = started.elapsed();
        self.record.cuts.push(gap(cut_at, None));
        let held = look.held_percent();
        self.watch.say(&format!(
            "{} cut the satellite, {held} % of the file is there",
            at(cut_at)
        ))?;

        let look = self
            .until(|look| look.held_percent() >= KILL_AT || look.complete)
            .await?;
        self.expect_more_to_come(&look, "before the sender could be killed")?;
        self.kill_and_restart(started, &look).await?;

        self.world.satellite.restore();
        let restored = started.elapsed();
        if let Some(cut) = self.record.cuts.last_mut() {
            cut.to_ms = ms(restored);
        }
        self.watch
            .say(&format!("{} restored the satellite", at(restored)))?;
        self.until(|look| look.complete).await?;
        self.watch.say(&format!(
            "{} all parts are delivered",
            at(started.elapsed())
        ))?;
        self.until(|look| look.receipt).await?;
        self.record.receipt_ms = Some(ms(started.elapsed()));
        self.watch.say(&format!(
            "{} the receipt is back at the sender",
            at(started.elapsed())
        ))
    }

    async fn links_up(&mut self) -> Outcome {
        let begun = Instant::now();
        loop {
            let look = self.watch.look(self.world, "").await?;
            if look.links_down.is_empty() {
                return self.watch.say("the links are up: satellite, relay, serial");
            }
            if begun.elapsed() > LINKS_UP {
                let down = look.links_down.join(", ");
                return self
                    .watch
                    .say(&format!("still down: {down}; sending all the same"));
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn send(&mut self, file: &Path) -> Outcome<Instant> {
        let started = Instant::now();
        self.record.sent_at = epoch_ms();
        self.record
            .sender_pids
            .extend(self.world.sender.as_ref().map(|sender| sender.pid));
        self.watch.restart_clock();
        let path = file.to_string_lossy();
        let args = ["send", self.world.bo.name, "--text", TEXT, "--file", &path];
        let queued = self.world.amina.run(&args).await?;
        self.record.message = queued["message"].as_str().unwrap_or_default().to_owned();
        let size = bytes(self.watch.file_bytes);
        self.watch.say(&format!(
            "{} sent a text and a file of {size} to bo",
            at(started.elapsed())
        ))?;
        Ok(started)
    }

    async fn kill_and_restart(&mut self, started: Instant, look: &Look) -> Outcome {
        let Some(sender) = self.world.sender.take() else {
            return Err(self.strange("there is no sender to kill"));
        };
        let (pid, killed_at) = (sender.pid, started.elapsed());
        self.record.held_at_kill = look.held;
        let status = sender.kill().await?;
        self.record.kills += u64::from(status.signal() == Some(9));
        let held = look.held_percent();
        self.watch.say(&format!(
            "{} killed the sender (process {pid}, SIGKILL), {held} % is there",
            at(killed_at)
        ))?;

        self.record.surplus_at_restart = self
            .watch
            .look(self.world, &self.record.message)
            .await?
            .surplus;
        let pid = self.world.start_sender().await?;
        self.record.sender_pids.push(pid);
        let back = started.elapsed();
        self.record.deaths.push(gap(killed_at, Some(back)));
        self.watch.say(&format!(
            "{} started the sender again (process {pid})",
            at(back)
        ))
    }

    /// Looks and shows until something is the case.
    async fn until(&mut self, is_so: impl Fn(&Look) -> bool) -> Outcome<Look> {
        loop {
            let look = self.watch.look(self.world, &self.record.message).await?;
            if is_so(&look) {
                return Ok(look);
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    fn expect_more_to_come(&self, look: &Look, when: &str) -> Outcome {
        if look.complete {
            return Err(self.strange(&format!("the file was delivered {when}")));
        }
        Ok(())
    }

    fn strange(&self, what: &str) -> Failure {
        Failure::new(
            Kind::Other,
            what,
            "run the demo again, with a larger file: --file PATH",
        )
    }
}

impl Look {
    fn held_percent(&self) -> u64 {
        percent(self.held, self.file_bytes)
    }
}

/// A cut that has no end yet lasts for ever.
fn gap(from: Duration, to: Option<Duration>) -> Gap {
    Gap {
        from_ms: ms(from),
        to_ms: to.map_or(u64::MAX, ms),
    }
}

fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

fn at(since: Duration) -> String {
    format!("{:>8}", time(since))
}

fn epoch_ms() -> u64 {
    std::time::UNIX_EPOCH.elapsed().map_or(0, ms)
}
