//! What the four kinds have in common: an object with metadata and one body, without a status subresource.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::JsonSchema;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};

/// A kind of this crate, with what its manifest says beyond the schema of its body.
pub trait Kind:
    k8s_openapi::Metadata<Ty = ObjectMeta> + Clone + PartialEq + serde::Serialize + DeserializeOwned
{
    /// The type of `spec` or `status`.
    type Body: JsonSchema;
    /// The name of the body's field.
    const BODY: &'static str;
    /// Whether an object without body is refused.
    const BODY_REQUIRED: bool;
    /// The name of one object in lower case.
    const SINGULAR: &'static str;
    /// The kind of a list.
    const LIST_KIND: &'static str;
    /// The sentence that `kubectl explain` shows.
    const DESCRIPTION: &'static str;
    /// Columns of `kubectl get`: name, JSON path, description.
    const COLUMNS: &'static [(&'static str, &'static str, &'static str)];
}

/// Reads `null` as the empty value: Go writes nil lists and maps so.
pub(crate) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Defines an object type around a body.
///
/// kube's derive enables the status subresource wherever there is a status and wants a spec; Gateway and RouteAgent
/// have neither, so all four are defined here.
macro_rules! kind {
    (
        $(#[doc = $doc:literal])+
        $kind:ident, $plural:literal, $singular:literal, $list:literal;
        $(#[doc = $body_doc:literal])+
        $field:ident: $body:ty, required $required:literal;
        columns $columns:expr
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Default, PartialEq, serde::Deserialize)]
        pub struct $kind {
            /// Name, namespace, labels, annotations.
            #[serde(default, deserialize_with = "crate::resource::null_as_default")]
            pub metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta,
            $(#[doc = $body_doc])+
            #[serde(default, deserialize_with = "crate::resource::null_as_default")]
            pub $field: $body,
        }

        impl serde::Serialize for $kind {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                use serde::ser::SerializeStruct as _;
                let mut object = serializer.serialize_struct(stringify!($kind), 4)?;
                object.serialize_field("apiVersion", <Self as k8s_openapi::Resource>::API_VERSION)?;
                object.serialize_field("kind", <Self as k8s_openapi::Resource>::KIND)?;
                object.serialize_field("metadata", &self.metadata)?;
                object.serialize_field(stringify!($field), &self.$field)?;
                object.end()
            }
        }

        impl k8s_openapi::Resource for $kind {
            const API_VERSION: &'static str = "submariner.io/v1";
            const GROUP: &'static str = crate::GROUP;
            const KIND: &'static str = stringify!($kind);
            const VERSION: &'static str = crate::VERSION;
            const URL_PATH_SEGMENT: &'static str = $plural;
            type Scope = k8s_openapi::NamespaceResourceScope;
        }

        impl k8s_openapi::ListableResource for $kind {
            const LIST_KIND: &'static str = $list;
        }

        impl k8s_openapi::Metadata for $kind {
            type Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

            fn metadata(&self) -> &Self::Ty {
                &self.metadata
            }

            fn metadata_mut(&mut self) -> &mut Self::Ty {
                &mut self.metadata
            }
        }

        impl crate::resource::Kind for $kind {
            type Body = $body;
            const BODY: &'static str = stringify!($field);
            const BODY_REQUIRED: bool = $required;
            const SINGULAR: &'static str = $singular;
            const LIST_KIND: &'static str = $list;
            const DESCRIPTION: &'static str = concat!($($doc),+);
            const COLUMNS: &'static [(&'static str, &'static str, &'static str)] = $columns;
        }
    };
}
pub(crate) use kind;
