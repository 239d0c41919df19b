//! Definitions of the kinds, from the types themselves.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceColumnDefinition, CustomResourceDefinition, CustomResourceDefinitionNames,
    CustomResourceDefinitionSpec, CustomResourceDefinitionVersion, CustomResourceValidation, JSONSchemaProps,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::{Cluster, Endpoint, GROUP, Gateway, Kind, RouteAgent, VERSION};

/// The definition of every kind.
pub fn crds() -> Vec<CustomResourceDefinition> {
    vec![crd::<Cluster>(), crd::<Endpoint>(), crd::<Gateway>(), crd::<RouteAgent>()]
}

/// The committed manifests: file names in `manifests/crds`, and their text.
pub fn crd_manifests() -> Vec<(String, String)> {
    crds().iter().map(|crd| (format!("{GROUP}_{}.yaml", crd.spec.names.plural), yaml(crd))).collect()
}

fn yaml(crd: &CustomResourceDefinition) -> String {
    let options = serde_saphyr::ser_options! { compact_list_indent: true };
    let text = serde_saphyr::to_string_with_options(crd, options)
        .expect("a definition is plain maps, lists and scalars");
    format!("---\n{}\n", text.trim_end())
}

fn crd<K: Kind>() -> CustomResourceDefinition {
    CustomResourceDefinition {
        metadata: ObjectMeta {
            name: Some(format!("{}.{GROUP}", K::URL_PATH_SEGMENT)),
            ..ObjectMeta::default()
        },
        spec: CustomResourceDefinitionSpec {
            group: GROUP.to_owned(),
            names: CustomResourceDefinitionNames {
                kind: K::KIND.to_owned(),
                list_kind: Some(K::LIST_KIND.to_owned()),
                plural: K::URL_PATH_SEGMENT.to_owned(),
                singular: Some(K::SINGULAR.to_owned()),
                ..CustomResourceDefinitionNames::default()
            },
            scope: "Namespaced".to_owned(),
            versions: vec![version::<K>()],
            ..CustomResourceDefinitionSpec::default()
        },
        status: None,
    }
}

fn version<K: Kind>() -> CustomResourceDefinitionVersion {
    let columns: Vec<_> = K::COLUMNS
        .iter()
        .map(|&(name, path, description)| CustomResourceColumnDefinition {
            name: name.to_owned(),
            json_path: path.to_owned(),
            description: Some(description.to_owned()),
            type_: "string".to_owned(),
            ..CustomResourceColumnDefinition::default()
        })
        .collect();
    CustomResourceDefinitionVersion {
        name: VERSION.to_owned(),
        served: true,
        storage: true,
        schema: Some(CustomResourceValidation { open_api_v3_schema: Some(schema::<K>()) }),
        additional_printer_columns: Some(columns).filter(|columns| !columns.is_empty()),
        ..CustomResourceDefinitionVersion::default()
    }
}

fn schema<K: Kind>() -> JSONSchemaProps {
    let settings = SchemaSettings::openapi3().for_serialize().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut body = settings.into_generator().into_root_schema_for::<K::Body>().to_value();
    simplify(&mut body);
    if !K::BODY_REQUIRED {
        // COMPAT: which fields of RouteAgent.status Go always writes is not documented; nothing of it is required.
        body.as_object_mut().map(|body| body.remove("required"));
    }
    let mut properties = Map::new();
    properties
        .insert("apiVersion".to_owned(), json!({"type": "string", "description": "Version of the schema."}));
    properties.insert("kind".to_owned(), json!({"type": "string", "description": "Kind of the object."}));
    properties.insert("metadata".to_owned(), json!({"type": "object"}));
    properties.insert(K::BODY.to_owned(), body);
    let required = if K::BODY_REQUIRED { Some(vec![K::BODY.to_owned()]) } else { None };
    let root = json!({
        "type": "object", "description": K::DESCRIPTION.trim(), "properties": properties, "required": required,
    });
    serde_json::from_value(root).expect("a generated schema is a schema")
}

/// Leaves out what a structural schema must not have, and defaults, which are ours and not the API's.
fn simplify(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        for key in ["default", "nullable", "title", "$schema", "components"] {
            object.remove(key);
        }
    }
    for key in ["/properties", "/items", "/additionalProperties"] {
        match (key, schema.pointer_mut(key)) {
            ("/properties", Some(Value::Object(properties))) => properties.values_mut().for_each(simplify),
            (_, Some(child)) => simplify(child),
            (_, None) => {}
        }
    }
}
