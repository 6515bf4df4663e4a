//! Two homes, a relay, and three bad links between them.

use super::bound::{Gap, Pipe, QUIC_SHARE};
use super::children::{Actor, Running};
use crate::ask::{ask, unexpected};
use crate::failure::{Failure, Kind, Outcome};
use ostrakon::node::api::{Request, Response, StatusReport};
use ostrakon_netsim::emulate::{SerialPath, UdpPath};
use ostrakon_netsim::model::{LinkSpec, SerialSpec};
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// The satellite: bits per second, each way.
const SATELLITE_BPS: u64 = 10_000_000;
/// Its delay, each way.
const SATELLITE_DELAY: Duration = Duration::from_millis(300);
/// Its loss, each way.
const SATELLITE_LOSS: f64 = 0.05;
/// The way to the relay: bits per second, each way.
const RELAY_BPS: u64 = 2_000_000;
/// Its delay, each way.
const RELAY_DELAY: Duration = Duration::from_millis(40);
/// The speed of the serial line.
const BAUD: u32 = 9600;
/// Its physical frame in bytes.
const SERIAL_MTU: &str = "222";
/// A port of the system's choice on this machine.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Any seed will do; this one is always the same.
const SEED: u64 = 2004;

/// All of it. The processes end when this is dropped.
#[derive(Debug)]
pub struct World {
    /// Who sends.
    pub amina: Actor,
    /// Who receives.
    pub bo: Actor,
    /// The sender's process; none while it is dead.
    pub sender: Option<Running>,
    /// The satellite between them.
    pub satellite: UdpPath,
    /// The sender's way to the relay.
    pub relay_path: UdpPath,
    /// The serial line between them.
    pub serial: SerialPath,
    others: Vec<Running>,
}

impl World {
    /// Makes the homes, starts relay and nodes, and configures links as an operator would: by the command line.
    ///
    /// # Errors
    /// If any of it fails.
    pub async fn build(dir: &Path, corrupt: f64) -> Outcome<Self> {
        let [amina, bo, relay] = ["amina", "bo", "relay"].map(|name| Actor::new(dir, name));
        for actor in [&amina, &bo] {
            actor.run(&["init", "--name", actor.name]).await?;
        }
        let (relay, listening) = relay
            .start(&["relay", "--listen", &ANY.to_string()])
            .await?;
        let relay_address = address(&listening)?;
        let relay_path = udp_path(relay_address, RELAY_BPS, RELAY_DELAY, 0.0, corrupt)?;
        let serial = serial_path(corrupt)?;

        let key = text_of(&listening, "key")?;
        bo.run(&[
            "link",
            "add",
            "relay",
            &format!("relay://{relay_address}?key={key}"),
        ])
        .await?;
        let uri = format!("relay://{}?key={key}", relay_path.local_addr());
        amina
            .run(&[
                "link", "add", "relay", &uri, "--rate", "2mbit", "--rtt", "80ms",
            ])
            .await?;
        for (actor, device) in [(&amina, serial.a_path()), (&bo, serial.b_path())] {
            let uri = format!("serial:{}?baud={BAUD}", device.display());
            actor
                .run(&["link", "add", "serial", &uri, "--mtu", SERIAL_MTU])
                .await?;
        }
        introduce(dir, &amina, &bo).await?;
        introduce(dir, &bo, &amina).await?;

        let (recipient, listening) = bo.start(&["node", "--listen", &ANY.to_string()]).await?;
        let satellite = udp_path(
            address(&listening)?,
            SATELLITE_BPS,
            SATELLITE_DELAY,
            SATELLITE_LOSS,
            corrupt,
        )?;
        let uri = format!("quic://{}", satellite.local_addr());
        let args = [
            "link",
            "add",
            "satellite",
            &uri,
            "--person",
            bo.name,
            "--rate",
            "10mbit",
            "--rtt",
            "600ms",
        ];
        amina.run(&args).await?;
        let mut world = Self {
            amina,
            bo,
            sender: None,
            satellite,
            relay_path,
            serial,
            others: vec![recipient, relay],
        };
        world.start_sender().await?;
        Ok(world)
    }

    /// Starts the sender's node; returns its process id.
    ///
    /// # Errors
    /// If it does not come up.
    pub async fn start_sender(&mut self) -> Outcome<u32> {
        let (sender, _) = self.amina.start(&["node", "--listen", "none"]).await?;
        Ok(self.sender.insert(sender).pid)
    }

    /// What the recipient's node says.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn recipient_status(&self) -> Outcome<StatusReport> {
        status(&self.bo).await
    }

    /// What the sender's node says; `None` while it is dead.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn sender_status(&self) -> Outcome<Option<StatusReport>> {
        match self.sender {
            Some(_) => status(&self.amina).await.map(Some),
            None => Ok(None),
        }
    }

    /// The three links as the formula of the bound sees them: satellite, relay, serial.
    pub fn pipes(&self, cuts: &[Gap], deaths: &[Gap]) -> [Pipe; 3] {
        let packets = |bps: u64, loss, delay: Duration, gaps: Vec<Gap>| Pipe {
            rate_bps: bps as f64,
            loss,
            share: QUIC_SHARE,
            delay_ms: delay.as_millis() as u64,
            gaps,
        };
        let away = [cuts, deaths].concat();
        let serial = Pipe {
            rate_bps: f64::from(BAUD) * 0.8,
            loss: 0.0,
            share: 1.0,
            delay_ms: 0,
            gaps: deaths.to_vec(),
        };
        [
            packets(SATELLITE_BPS, SATELLITE_LOSS, SATELLITE_DELAY, away),
            packets(RELAY_BPS, 0.0, RELAY_DELAY, deaths.to_vec()),
            serial,
        ]
    }

    /// Ends all processes and links.
    pub async fn end(mut self) {
        for running in self.sender.take().into_iter().chain(self.others.drain(..)) {
            running.end().await;
        }
        self.satellite.shutdown().await;
        self.relay_path.shutdown().await;
        self.serial.shutdown().await;
    }
}

async fn status(actor: &Actor) -> Outcome<StatusReport> {
    match ask(&actor.home, Request::Status).await? {
        Response::Status(report) => Ok(report),
        _ => Err(unexpected()),
    }
}

/// Gives one's card to the other.
async fn introduce(dir: &Path, who: &Actor, to: &Actor) -> Outcome {
    let file = dir.join(format!("{}.card", who.name));
    let file = file.to_string_lossy();
    who.run(&["card", "--out", &file]).await?;
    to.run(&["person", "add", &file]).await?;
    Ok(())
}

fn udp_path(
    target: SocketAddr,
    bps: u64,
    delay: Duration,
    loss: f64,
    corrupt: f64,
) -> Outcome<UdpPath> {
    let spec = LinkSpec::new()
        .rate_bps(bps)
        .delay(delay)
        .loss(loss)
        .corrupt(corrupt)
        .mtu(1500);
    UdpPath::spawn(ANY, target, &spec, &spec, SEED).map_err(|error| emulator(&error))
}

fn serial_path(corrupt: f64) -> Outcome<SerialPath> {
    // So that a frame is damaged about as often as a packet elsewhere.
    let byte_error = 1.0 - (1.0 - corrupt).powf(1.0 / 222.0);
    let spec = SerialSpec::new().byte_error(byte_error);
    SerialPath::spawn(BAUD, &spec, &spec, SEED).map_err(|error| emulator(&error))
}

fn emulator(error: &dyn std::error::Error) -> Failure {
    let what = format!("the emulator of a link does not start: {error}");
    Failure::new(
        Kind::Other,
        what,
        "see that loopback and pseudo-terminals may be used here",
    )
}

fn text_of(event: &Value, field: &str) -> Outcome<String> {
    event[field]
        .as_str()
        .map(str::to_owned)
        .ok_or_else(unexpected)
}

fn address(listening: &Value) -> Outcome<SocketAddr> {
    text_of(listening, "addr")?
        .parse()
        .map_err(|_| unexpected())
}
