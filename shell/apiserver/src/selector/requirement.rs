//! Label selectors as text: `app=web,tier in (front,back),!old`. COMPAT: read, and refused, as Kubernetes does.

use std::collections::BTreeMap;

use crate::metadata::{is_label_key, is_label_value};

/// One thing that labels must be like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
    Above(String, i64),
    Below(String, i64),
}

impl Requirement {
    pub(super) fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let number = |key: &String| labels.get(key).and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::In(key, values) => labels.get(key).is_some_and(|value| values.contains(value)),
            // COMPAT: an absent label satisfies `!=` and `notin`.
            Self::NotIn(key, values) => labels.get(key).is_none_or(|value| !values.contains(value)),
            Self::Exists(key) => labels.contains_key(key),
            Self::Absent(key) => !labels.contains_key(key),
            Self::Above(key, bound) => number(key).is_some_and(|value| value > *bound),
            Self::Below(key, bound) => number(key).is_some_and(|value| value < *bound),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'a str),
    End,
}

impl<'a> Token<'a> {
    fn text(self) -> &'a str {
        match self {
            Self::Word(text) | Self::Symbol(text) => text,
            Self::End => "",
        }
    }
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", "(", ")", ",", ">", "<"];
    let mut rest = text.trim_start();
    let mut tokens = Vec::new();
    while !rest.is_empty() {
        let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol));
        let length = symbol.map_or_else(
            || rest.find(|c: char| c.is_whitespace() || "=!(),<>".contains(c)).unwrap_or(rest.len()),
            |symbol| symbol.len(),
        );
        let (token, after) = rest.split_at(length);
        tokens.push(if symbol.is_some() { Token::Symbol(token) } else { Token::Word(token) });
        rest = after.trim_start();
    }
    tokens
}

/// Reads a selector; the error says what is wrong in Kubernetes' words.
pub(super) fn parse(text: &str) -> Result<Vec<Requirement>, String> {
    let tokens = tokens(text);
    let mut reader = Reader(&tokens);
    let mut found = Vec::new();
    loop {
        match reader.peek() {
            Token::Word(_) | Token::Symbol("!") => {
                let one =
                    reader.requirement().map_err(|why| format!("unable to parse requirement: {why}"))?;
                found.push(one);
                match reader.next() {
                    Token::End => return Ok(found),
                    Token::Symbol(",") => match reader.peek() {
                        Token::Word(_) | Token::Symbol("!") => {}
                        other @ (Token::Symbol(_) | Token::End) => {
                            return Err(format!("found '{}', expected: identifier after ','", other.text()));
                        }
                    },
                    other @ (Token::Word(_) | Token::Symbol(_)) => {
                        return Err(format!("found '{}', expected: ',' or 'end of string'", other.text()));
                    }
                }
            }
            Token::End => return Ok(found),
            other @ Token::Symbol(_) => {
                return Err(format!("found '{}', expected: !, identifier, or 'end of string'", other.text()));
            }
        }
    }
}

struct Reader<'a>(&'a [Token<'a>]);

impl<'a> Reader<'a> {
    fn peek(&self) -> Token<'a> {
        self.0.first().copied().unwrap_or(Token::End)
    }

    fn next(&mut self) -> Token<'a> {
        let next = self.peek();
        self.0 = self.0.get(1..).unwrap_or_default();
        next
    }

    fn word(&mut self) -> Result<&'a str, String> {
        match self.next() {
            Token::Word(word) => Ok(word),
            other @ (Token::Symbol(_) | Token::End) => {
                Err(format!("found '{}', expected: identifier", other.text()))
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        let absent = self.peek() == Token::Symbol("!");
        if absent {
            self.next();
        }
        let key = self.word()?;
        if !is_label_key(key) {
            return Err(format!("key: Invalid value: {key:?}: {NAME}"));
        }
        let ends = matches!(self.peek(), Token::End | Token::Symbol(","));
        let key = key.to_owned();
        if absent || ends {
            return Ok(if absent { Requirement::Absent(key) } else { Requirement::Exists(key) });
        }
        match self.next() {
            Token::Word("in") => Ok(Requirement::In(key.clone(), self.values(&key)?)),
            Token::Word("notin") => Ok(Requirement::NotIn(key.clone(), self.values(&key)?)),
            Token::Symbol("=" | "==") => Ok(Requirement::In(key.clone(), vec![self.value(&key)?])),
            Token::Symbol("!=") => Ok(Requirement::NotIn(key.clone(), vec![self.value(&key)?])),
            Token::Symbol(">") => Ok(Requirement::Above(key.clone(), self.bound(&key)?)),
            Token::Symbol("<") => Ok(Requirement::Below(key.clone(), self.bound(&key)?)),
            other @ (Token::Word(_) | Token::Symbol(_) | Token::End) => {
                Err(format!("found '{}', expected: in, notin, =, ==, !=, gt, lt", other.text()))
            }
        }
    }

    fn value(&mut self, key: &str) -> Result<String, String> {
        if matches!(self.peek(), Token::End | Token::Symbol(",")) {
            return Ok(String::new());
        }
        checked(key, 0, self.word()?)
    }

    fn bound(&mut self, key: &str) -> Result<i64, String> {
        let value = self.value(key)?;
        value.parse().map_err(|_| {
            format!(
                "values[0]: Invalid value: {value:?}: for 'Gt', 'Lt' operators, the value must be an integer"
            )
        })
    }

    fn values(&mut self, key: &str) -> Result<Vec<String>, String> {
        match self.next() {
            Token::Symbol("(") => {}
            other @ (Token::Word(_) | Token::Symbol(_) | Token::End) => {
                return Err(format!("found '{}' expected: '('", other.text()));
            }
        }
        let mut values = Vec::new();
        loop {
            match (self.next(), self.peek()) {
                (Token::Word(word), Token::Symbol("," | ")")) => {
                    values.push(checked(key, values.len(), word)?);
                }
                (Token::Word(_), other) => {
                    return Err(format!("found '{}', expected: ',' or ')'", other.text()));
                }
                (Token::Symbol(","), Token::Symbol("," | ")")) => values.push(String::new()),
                (Token::Symbol(","), Token::Word(_)) if values.is_empty() => values.push(String::new()),
                (Token::Symbol(","), Token::Word(_)) => {}
                (Token::Symbol(")"), _) if values.is_empty() => {
                    let why =
                        "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty";
                    return Err(why.to_owned());
                }
                (Token::Symbol(")"), _) => break,
                (other, _) => return Err(format!("found '{}', expected: ',', or identifier", other.text())),
            }
        }
        values.sort();
        values.dedup();
        Ok(values)
    }
}

const NAME: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an \
                    alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
                    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";

fn checked(key: &str, index: usize, value: &str) -> Result<String, String> {
    if is_label_value(value) {
        return Ok(value.to_owned());
    }
    Err(format!(
        "values[{index}][{key}]: Invalid value: {value:?}: a valid label must be an empty string or consist of \
         alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
         'MyValue',  or 'my_value',  or '12345', regex used for validation is \
         '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_named_as_kubernetes_names_it() {
        for (text, why) in [
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            ("=a", "found '=', expected: !, identifier, or 'end of string'"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
        ] {
            assert_eq!(parse(text).unwrap_err(), why, "{text}");
        }
        assert!(parse("a>x").unwrap_err().contains("must be an integer"));
        assert!(parse("a=b$").unwrap_err().contains("values[0][a]: Invalid value"));
    }

    #[test]
    fn numbers_are_compared() {
        let labels = BTreeMap::from([("n".to_owned(), "5".to_owned())]);
        let holds = |text: &str| parse(text).unwrap().iter().all(|one| one.matches(&labels));
        assert!(
            holds("n>4,n<6") && !holds("n>5") && !holds("m>1") && holds("n in (,5)") && holds("n in (5,)")
        );
    }
}
