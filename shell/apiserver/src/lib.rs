//! An embedded Kubernetes-compatible API server: the playground's clusters, the tests' API, a small clusterset's hub.
//!
//! [`Store`] is pure state: objects by kind, namespace and name, a version counter and a bounded history per kind.
//! [`ApiServer`] puts a lock, a clock, credentials and fault knobs around it, and serves it over TLS
//! ([`ApiServer::serve`]) or in the process ([`ApiServer::service`], for `kube::Client::new`).
//! Built-in kinds are one table in `kinds/table.rs`; others come from definitions that are created through the API.
//! Everything is kept in memory, and with [`Builder::open`] also in a file: then nothing is acknowledged or shown that
//! a crash could take back. Owner references are followed within the write that deletes an owner. Nothing runs Pods
//! here: whoever does answers for their logs and for programs in them ([`Nodes`]), and deletes those that are to end.

mod access;
mod apply;
mod audit;
mod backup;
mod beside;
mod body;
mod definitions;
mod discovery;
mod encode;
mod fairness;
mod faults;
mod fields;
mod headers;
mod health;
mod identity;
mod jsonpath;
mod kinds;
mod kubeconfig;
mod managers;
mod metadata;
mod negotiate;
mod openapi;
mod pages;
mod patch;
mod pods;
mod policy;
mod protobuf;
mod rbac;
mod reactions;
mod refusal;
mod request;
mod respond;
mod reviews;
mod scale;
mod schema;
mod selector;
mod serve;
mod server;
mod services;
mod storage;
mod store;
mod strategic;
mod strict;
mod table;
mod tls;
mod watch;

pub use access::{Admission, Allowed, Credential, Credentials, Rule, User, Verb};
pub use apply::Force;
pub use audit::AuditLog;
pub use backup::{Backup, BackupError, Contents};
pub use fairness::Share;
pub use faults::{Faults, Link};
pub use identity::TokenKey;
pub use kinds::{Kind, KindId, Kinds, ResourceKey, Scope, StatusField, published};
pub use kubeconfig::kubeconfig;
pub use patch::{Part, Patch};
pub use pods::{ExecOptions, Exit, Input, LogOptions, Nodes, Output, Session};
pub use refusal::{Denied, PolicyDenied, Refusal, Stale, Subject};
pub use schema::Cause;
pub use selector::Selector;
pub use serve::{Service, Unreachable};
pub use server::{ApiServer, Builder, NotServed, Objects, OpenError, Statistics};
pub use services::ServiceRanges;
pub use storage::{Damage, Storage, StorageError};
pub use store::{
    Change, Deletion, Effect, Event, Object, Place, Preconditions, Propagation, Selected, Store, Writer,
};
pub use tls::{Authority, Certified, ServerTls, TlsError};

/// Text as Kubernetes writes bytes.
fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
