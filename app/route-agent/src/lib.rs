//! The route agent daemon.
