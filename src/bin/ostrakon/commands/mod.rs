//! What each command does.

pub mod card;
pub mod device;
pub mod grant;
pub mod group;
pub mod inbox;
pub mod init;
pub mod invite;
pub mod join;
pub mod largest;
pub mod link;
pub mod node;
pub mod pages;
pub mod passphrase;
pub mod person;
mod qr;
pub mod relay;
pub mod relay_grants;
pub mod root;
pub mod routes;
pub mod send;
pub mod sim;
pub mod spool;
pub mod status;
pub mod strangers;
pub mod voice;
