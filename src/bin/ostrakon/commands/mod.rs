//! What each command does.

pub mod card;
pub mod grant;
pub mod inbox;
pub mod init;
pub mod link;
pub mod node;
pub mod pages;
pub mod passphrase;
pub mod person;
pub mod relay;
pub mod relay_grants;
pub mod routes;
pub mod send;
pub mod sim;
pub mod spool;
pub mod status;
