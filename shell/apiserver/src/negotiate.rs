//! Which of the forms that a client accepts it gets, in which encoding.

use http::request::Parts;
use http::{HeaderMap, header};

use crate::refusal::Refusal;

/// In which form objects are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// As they are.
    Plain,
    /// As rows of `meta.k8s.io/v1 Table`.
    Table,
    /// As `PartialObjectMetadata`.
    Metadata,
}

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
}

/// Which answers there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// Objects at once.
    Objects,
    /// Events one after the other: in JSON alone.
    Events,
}

/// One of the media types of an `Accept` header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MediaType<'a> {
    kind: &'a str,
    /// A thousand times its weight.
    weight: u16,
    parameters: &'a str,
}

impl<'a> MediaType<'a> {
    fn read(text: &'a str) -> Self {
        let (kind, parameters) = text.split_once(';').unwrap_or((text, ""));
        let mut read = Self { kind: kind.trim(), weight: 1000, parameters };
        if let Some(weight) = read.parameter("q").and_then(|weight| weight.parse::<f32>().ok()) {
            // A weight has three digits after the point at most.
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is clamped before"
            )]
            {
                read.weight = (weight.clamp(0.0, 1.0) * 1000.0) as u16;
            }
        }
        read
    }

    /// The types of a header, the weightiest first.
    pub(crate) fn accepted(headers: &'a HeaderMap) -> Vec<Self> {
        let texts = headers.get_all(header::ACCEPT).iter().filter_map(|text| text.to_str().ok());
        let all = texts.flat_map(|text| text.split(',')).map(str::trim).filter(|text| !text.is_empty());
        let mut all: Vec<_> = all.map(Self::read).filter(|read| read.weight > 0).collect();
        if all.is_empty()
            && headers.get(header::ACCEPT).is_none_or(|text| text.as_bytes().trim_ascii().is_empty())
        {
            all.push(Self::read("*/*"));
        }
        all.sort_by_key(|read| std::cmp::Reverse(read.weight));
        all
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&'a str> {
        let mut pairs = self.parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim_matches('"'))
    }

    /// The type without its parameters.
    pub(crate) fn kind(&self) -> &'a str {
        self.kind
    }

    pub(crate) fn encoding(&self) -> Option<Encoding> {
        match self.kind {
            "application/json" | "application/*" | "*/*" => Some(Encoding::Json),
            "application/yaml" => Some(Encoding::Yaml),
            _ => None,
        }
    }

    fn form(&self) -> Option<Form> {
        let Some(kind) = self.parameter("as") else { return Some(Form::Plain) };
        let of_meta = self.parameter("g") == Some("meta.k8s.io") && self.parameter("v") == Some("v1");
        match kind {
            "Table" if of_meta => Some(Form::Table),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if of_meta => Some(Form::Metadata),
            _ => None,
        }
    }
}

/// The first accepted form that can be sent.
pub(crate) fn form(headers: &HeaderMap, endpoint: Endpoint) -> Result<Form, Refusal> {
    let possible = |accepted: &MediaType<'_>| {
        let encoding = accepted.encoding()?;
        let streams = endpoint == Endpoint::Events;
        let fits = if streams { encoding == Encoding::Json } else { accepted.parameter("stream").is_none() };
        if fits { accepted.form() } else { None }
    };
    MediaType::accepted(headers).iter().find_map(possible).ok_or(Refusal::NotAcceptable)
}

/// How the body of an answer is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) encoding: Encoding,
    /// JSON with an entry per line, for people.
    pub(crate) pretty: bool,
    pub(crate) gzip: bool,
}

impl Transfer {
    /// What a request asks for.
    pub(crate) fn of(parts: &Parts) -> Self {
        let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let encoding = MediaType::accepted(&parts.headers).iter().find_map(MediaType::encoding);
        let coded = text(header::ACCEPT_ENCODING).split(',').map(|coding| coding.split(';').next());
        let mut asked = parts.uri.query().unwrap_or_default().split('&');
        let pretty = match asked.find_map(|pair| pair.strip_prefix("pretty=")) {
            Some(value) => matches!(value, "true" | "1"),
            // COMPAT: to a person at a terminal or a browser JSON comes in lines.
            None => ["curl/", "Wget/", "Mozilla/5.0"]
                .iter()
                .any(|agent| text(header::USER_AGENT).starts_with(agent)),
        };
        Self {
            encoding: encoding.unwrap_or(Encoding::Json),
            pretty,
            gzip: coded.flatten().any(|coding| coding.trim() == "gzip"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())])
    }

    #[test]
    fn the_first_form_that_can_be_sent_is_chosen() {
        let form = |accept: &str| form(&headers(accept), Endpoint::Objects).ok();
        assert_eq!(form("application/json;as=Table;v=v1;g=meta.k8s.io,application/json"), Some(Form::Table));
        assert_eq!(form("application/vnd.kubernetes.protobuf,application/json"), Some(Form::Plain));
        assert_eq!(
            form("application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"),
            Some(Form::Plain)
        );
        assert_eq!(form("application/json;as=Other;v=v2;g=x"), None);
        assert_eq!(form("application/vnd.kubernetes.protobuf"), None);
        assert_eq!(form("application/json;q=0"), None);
        assert_eq!(form(" "), Some(Form::Plain));
        assert_eq!(form("application/yaml"), Some(Form::Plain));
        assert_eq!(self::form(&headers("application/yaml"), Endpoint::Events), Err(Refusal::NotAcceptable));
        assert_eq!(self::form(&headers("application/json;stream=watch"), Endpoint::Events), Ok(Form::Plain));
        assert_eq!(self::form(&HeaderMap::new(), Endpoint::Objects), Ok(Form::Plain));
    }

    #[test]
    fn the_weightiest_type_is_taken_first() {
        let transfer = |accept: &str, uri: &str, agent: &str| {
            let request =
                http::Request::get(uri).header(header::ACCEPT, accept).header(header::USER_AGENT, agent);
            let request = request.header(header::ACCEPT_ENCODING, "br, gzip;q=0.8").body(()).unwrap();
            Transfer::of(&request.into_parts().0)
        };
        let plain = Transfer { encoding: Encoding::Json, pretty: false, gzip: true };
        assert_eq!(transfer("application/json", "/api", "x"), plain);
        assert_eq!(
            transfer("application/json;q=0.5, application/yaml", "/api", "x"),
            Transfer { encoding: Encoding::Yaml, ..plain }
        );
        assert!(transfer("*/*", "/api", "curl/8.5").pretty);
        assert!(!transfer("*/*", "/api?pretty=false", "curl/8.5").pretty);
        assert!(transfer("*/*", "/api?watch=0&pretty=1", "x").pretty);
    }
}
