//! The functions that Kubernetes adds to the Common Expression Language.

use std::cmp::Ordering;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use cel::extractors::This;
use cel::objects::OptionalValue;
use cel::{Context, Env, ExecutionError, Value, extensions};
use regex::Regex;

use super::super::format::{self, cidr};

/// Every function that a rule may call.
pub(super) const KNOWN: &[&str] = &[
    // Of the language.
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "bool",
    "dyn",
    "type",
    "duration",
    "timestamp",
    "getFullYear",
    "getMonth",
    "getDayOfYear",
    "getDayOfMonth",
    "getDate",
    "getDayOfWeek",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
    "has",
    "all",
    "exists",
    "exists_one",
    "map",
    "filter",
    "hasValue",
    "value",
    "orValue",
    "or",
    "optional.of",
    "optional.none",
    "optional.ofNonZeroValue",
    "optMap",
    "optFlatMap",
    // Of its extensions for strings and lists.
    "charAt",
    "indexOf",
    "lastIndexOf",
    "lowerAscii",
    "upperAscii",
    "replace",
    "split",
    "substring",
    "trim",
    "join",
    "format",
    "reverse",
    "distinct",
    "flatten",
    "slice",
    "sort",
    "quote",
    // Of Kubernetes.
    "isSorted",
    "sum",
    "min",
    "max",
    "find",
    "findAll",
    "isURL",
    "isIP",
    "ip",
    "isCIDR",
    "cidr",
    "family",
    "containsIP",
    "containsCIDR",
    "prefixLength",
    "masked",
    "isLoopback",
    "isUnspecified",
];

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    for extension in [extensions::strings, extensions::lists] {
        environment.add_extension(extension).expect("the extension is declared once");
    }
    Arc::new(environment)
});

pub(super) fn environment() -> &'static Env {
    &ENVIRONMENT
}

pub(super) fn optional(value: Option<Value>) -> Value {
    Value::Opaque(Arc::new(value.map_or_else(OptionalValue::none, OptionalValue::of)))
}

/// A string as its format says: a time, a duration, or itself.
pub(super) fn formatted(format: Option<&str>, text: &str) -> Value {
    let plain = || Value::String(Arc::new(text.to_owned()));
    let call = |function: &str| {
        let mut context = context();
        context.add_variable_from_value("text", plain());
        let program = environment().compile(&format!("{function}(text)")).ok()?;
        program.execute(&context).ok()
    };
    match format {
        Some("date-time") => call("timestamp").unwrap_or_else(plain),
        Some("duration") => call("duration").unwrap_or_else(plain),
        _ => plain(),
    }
}

type Answer = Result<Value, ExecutionError>;

fn text(value: impl Into<String>) -> Value {
    Value::String(Arc::new(value.into()))
}

fn wrong(function: &str, why: impl ToString) -> ExecutionError {
    ExecutionError::function_error(function, why)
}

/// A context in which the functions can be called.
pub(crate) fn context() -> Context<'static, 'static> {
    let mut context = Context::with_env(Arc::clone(&ENVIRONMENT));
    let added = [
        context.add_function("isSorted", |This(list): This<Arc<Vec<Value>>>| is_sorted(&list)),
        context.add_function("sum", |This(list): This<Arc<Vec<Value>>>| sum(&list)),
        context
            .add_function("min", |This(list): This<Arc<Vec<Value>>>| extreme(&list, "min", Ordering::Less)),
        context.add_function("max", |This(list): This<Arc<Vec<Value>>>| {
            extreme(&list, "max", Ordering::Greater)
        }),
        context.add_function("find", |This(this): This<Arc<String>>, pattern: Arc<String>| {
            find(&this, &pattern)
        }),
        context.add_function("findAll", |This(this): This<Arc<String>>, pattern: Arc<String>| {
            find_all(&this, &pattern)
        }),
        context.add_function("isURL", |text: Arc<String>| format::admits("uri", &text) && is_absolute(&text)),
        context.add_function("isIP", |text: Arc<String>| text.parse::<IpAddr>().is_ok()),
        context.add_function("isCIDR", |text: Arc<String>| format::is_cidr(&text)),
        context.add_function("ip", |text: Arc<String>| {
            address("ip", &text).map(|ip| self::text(ip.to_string()))
        }),
        context.add_function("cidr", |text: Arc<String>| range(&text).map(|_| Value::String(text))),
        context.add_function("family", |This(this): This<Arc<String>>| {
            let address = this.split('/').next().unwrap_or_default();
            self::address("family", address).map(|ip| Value::Int(if ip.is_ipv4() { 4 } else { 6 }))
        }),
        context.add_function("isLoopback", |This(this): This<Arc<String>>| {
            address("isLoopback", &this).map(|ip| Value::Bool(ip.is_loopback()))
        }),
        context.add_function("isUnspecified", |This(this): This<Arc<String>>| {
            address("isUnspecified", &this).map(|ip| Value::Bool(ip.is_unspecified()))
        }),
        context.add_function("prefixLength", |This(this): This<Arc<String>>| {
            range(&this).map(|(_, length)| Value::Int(i64::from(length)))
        }),
        context.add_function("masked", |This(this): This<Arc<String>>| {
            range(&this).map(|(ip, length)| text(format!("{}/{length}", masked(ip, length))))
        }),
        context.add_function("containsIP", |This(this): This<Arc<String>>, ip: Arc<String>| {
            let (base, length) = range(&this)?;
            Ok::<_, ExecutionError>(Value::Bool(holds(base, length, address("containsIP", &ip)?)))
        }),
        context.add_function("containsCIDR", |This(this): This<Arc<String>>, other: Arc<String>| {
            let ((base, length), (ip, longer)) = (range(&this)?, range(&other)?);
            Ok::<_, ExecutionError>(Value::Bool(longer >= length && holds(base, length, ip)))
        }),
    ];
    debug_assert!(added.iter().all(Result::is_ok), "{added:?}");
    context
}

fn is_absolute(text: &str) -> bool {
    text.starts_with('/') || text.contains("://")
}

fn is_sorted(list: &[Value]) -> bool {
    list.windows(2).all(|pair| pair[0].partial_cmp(&pair[1]).is_some_and(Ordering::is_le))
}

fn sum(list: &[Value]) -> Answer {
    list.iter().try_fold(Value::Int(0), |total, item| match (total, item) {
        (Value::Int(total), Value::Int(item)) => {
            total.checked_add(*item).map(Value::Int).ok_or_else(|| wrong("sum", "integer overflow"))
        }
        (Value::Int(total), Value::Float(item)) => {
            // The total is still its start, zero, where elements are fractions.
            debug_assert_eq!(total, 0, "elements of one list have one type");
            Ok(Value::Float(*item))
        }
        (Value::Float(total), Value::Float(item)) => Ok(Value::Float(total + item)),
        _ => Err(wrong("sum", "the elements must be numbers")),
    })
}

fn extreme(list: &[Value], function: &str, wanted: Ordering) -> Answer {
    let mut items = list.iter();
    let first = items.next().ok_or_else(|| wrong(function, "called on an empty list"))?;
    let better = |best, item: &'_ Value| item.partial_cmp(best) == Some(wanted);
    let best = items.fold(first, |best, item| if better(best, item) { item } else { best });
    Ok(best.clone())
}

fn regex(function: &str, pattern: &str) -> Result<Regex, ExecutionError> {
    Regex::new(pattern).map_err(|error| wrong(function, error))
}

fn find(this: &str, pattern: &str) -> Answer {
    Ok(text(regex("find", pattern)?.find(this).map_or("", |found| found.as_str())))
}

fn find_all(this: &str, pattern: &str) -> Answer {
    let found = regex("findAll", pattern)?;
    Ok(Value::List(Arc::new(found.find_iter(this).map(|found| text(found.as_str())).collect())))
}

fn address(function: &str, text: &str) -> Result<IpAddr, ExecutionError> {
    text.parse().map_err(|_| wrong(function, format!("IP address {text:?} parse error")))
}

fn range(text: &str) -> Result<(IpAddr, u8), ExecutionError> {
    cidr(text).ok_or_else(|| wrong("cidr", format!("network address {text:?} parse error")))
}

fn bits(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(ip) => (u128::from(ip.to_bits()), 32),
        IpAddr::V6(ip) => (ip.to_bits(), 128),
    }
}

fn masked(ip: IpAddr, length: u8) -> IpAddr {
    let (value, width) = bits(ip);
    let host = width - u32::from(length);
    let kept = if host >= 128 { 0 } else { value >> host << host };
    match ip {
        IpAddr::V4(_) => IpAddr::V4(u32::try_from(kept).unwrap_or_default().into()),
        IpAddr::V6(_) => IpAddr::V6(kept.into()),
    }
}

fn holds(base: IpAddr, length: u8, ip: IpAddr) -> bool {
    base.is_ipv4() == ip.is_ipv4() && masked(base, length) == masked(ip, length)
}
