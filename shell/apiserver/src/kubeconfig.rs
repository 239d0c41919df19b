//! The file by which clients find the server.

use base64::Engine as _;

/// The text of a kubeconfig with one cluster, one user and one context of the same name.
pub fn kubeconfig(server: &str, authority_pem: &str, token: &str, context: &str) -> String {
    let authority = base64::engine::general_purpose::STANDARD.encode(authority_pem);
    // JSON strings are YAML strings, with every character escaped that needs it.
    let [server, token, context] =
        [server, token, context].map(|text| serde_json::Value::from(text).to_string());
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: {context}\n\
         \x20 cluster:\n\
         \x20   server: {server}\n\
         \x20   certificate-authority-data: {authority}\n\
         users:\n\
         - name: {context}\n\
         \x20 user:\n\
         \x20   token: {token}\n\
         contexts:\n\
         - name: {context}\n\
         \x20 context:\n\
         \x20   cluster: {context}\n\
         \x20   user: {context}\n\
         current-context: {context}\n"
    )
}
