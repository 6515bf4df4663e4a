//! JSON, one object a line, with a bound on the length of a line.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};

/// The longest text in a request, in bytes; a longer one is sent as a file.
pub const MAX_TEXT: usize = 1 << 20;
/// The longest request, in bytes: in JSON a control character of a text takes six, and the paths of 255 files need
/// room, too.
pub(super) const MAX_REQUEST: u64 = 6 * MAX_TEXT as u64 + (6 << 20);
/// The longest answer, in bytes.
pub(super) const MAX_RESPONSE: u64 = 64 << 20;

/// Reads one object; `None` at the end of the stream.
///
/// # Errors
/// `InvalidData` if the line is too long, cut short, or not the object expected.
pub(super) async fn read<T: DeserializeOwned>(
    from: &mut BufReader<impl AsyncRead + Unpin>,
    max: u64,
) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    let read = from.take(max).read_until(b'\n', &mut line).await?;
    if read == 0 {
        return Ok(None);
    }
    if line.last() != Some(&b'\n') {
        let text = "a line is too long or cut short";
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(Some(serde_json::from_slice(&line)?))
}

/// Writes one object.
///
/// # Errors
/// Whatever the stream says.
pub(super) async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    value: &impl Serialize,
) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}
