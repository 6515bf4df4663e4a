//! One file over one stream of the QUIC library, with a congestion controller of the library: what ostrakon's own use of it
//! is measured against in `benches/peers`.
//!
//! ```text
//! quic_stream receive ADDRESS FILE cubic|bbr
//! quic_stream send ADDRESS FILE cubic|bbr
//! ```
#![allow(
    clippy::print_stderr,
    reason = "a program for the command line, whose errors are read there"
)]

use ostrakon_transports::keys::LinkSecret;
use ostrakon_transports::quic::parts::{dialling, listening};
use ostrakon_transports::quic::{Congestion, QuicSettings};
use quinn::{Endpoint, EndpointConfig, TokioRuntime};
use std::error::Error;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

type Done = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match &arguments[..] {
        [what, address, file, control] => run(what, address, Path::new(file), control).await,
        _ => Err("usage: quic_stream receive|send ADDRESS FILE cubic|bbr".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quic_stream: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(what: &str, address: &str, file: &Path, control: &str) -> Done {
    let address: SocketAddr = address.parse()?;
    let settings = QuicSettings {
        congestion: match control {
            "cubic" => Congestion::Cubic,
            "bbr" => Congestion::Bbr,
            other => return Err(format!("no such congestion control: {other}").into()),
        },
        idle_timeout: Duration::from_secs(120),
        connect_timeout: Duration::from_secs(60),
        ..QuicSettings::default()
    };
    match what {
        "send" => send(address, file, &settings).await,
        "receive" => receive(address, file, &settings).await,
        other => Err(format!("neither send nor receive: {other}").into()),
    }
}

/// Both ends have keys that everybody can know: nothing here is secret.
fn keys() -> (LinkSecret, LinkSecret) {
    (
        LinkSecret::from_seed([1; 32]),
        LinkSecret::from_seed([2; 32]),
    )
}

fn endpoint(
    bind: SocketAddr,
    config: EndpointConfig,
    server: Option<quinn::ServerConfig>,
) -> std::io::Result<Endpoint> {
    Endpoint::new(
        config,
        server,
        UdpSocket::bind(bind)?,
        Arc::new(TokioRuntime),
    )
}

async fn send(to: SocketAddr, file: &Path, settings: &QuicSettings) -> Done {
    let (own, other) = keys();
    let (config, client) = dialling(&own, other.public(), settings)?;
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let endpoint = endpoint(any, config, None)?;
    let connection = endpoint
        .connect_with(client, to, "ostrakon.invalid")?
        .await?;
    let (mut stream, mut answer) = connection.open_bi().await?;
    stream.write_all(&std::fs::read(file)?).await?;
    stream.finish()?;
    answer.read_to_end(1).await?;
    connection.close(0_u32.into(), b"");
    endpoint.wait_idle().await;
    Ok(())
}

async fn receive(at: SocketAddr, file: &Path, settings: &QuicSettings) -> Done {
    let (_, own) = keys();
    let (config, server) = listening(&own, settings)?;
    let endpoint = endpoint(at, config, Some(server))?;
    while let Some(incoming) = endpoint.accept().await {
        // Who is killed comes again.
        if let Err(error) = take(incoming, file).await {
            eprintln!("quic_stream: {error}");
        }
    }
    Ok(())
}

async fn take(incoming: quinn::Incoming, file: &Path) -> Done {
    let connection = incoming.await?;
    let (mut answer, mut stream) = connection.accept_bi().await?;
    let bytes = stream.read_to_end(usize::MAX).await?;
    std::fs::write(file, bytes)?;
    answer.write_all(b"!").await?;
    answer.finish()?;
    connection.closed().await;
    Ok(())
}
