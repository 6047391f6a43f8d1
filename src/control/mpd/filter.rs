//! Which songs: MPD's filter expressions, and its older pairs of words.
//!
//! An expression is in parentheses: `(Artist == 'x')`, `(!EXPRESSION)`,
//! `(EXPRESSION AND EXPRESSION …)`. Fields are the tags, `any` of them, and
//! `file`; they are compared by `==`, `!=`, `contains`, `!contains`,
//! `starts_with` and `!starts_with`. Further there are `(base 'directory')`,
//! `(modified-since 'time')` and `(AudioFormat == 'rate:bits:channels')`, the
//! latter with `*` for whatever. Regular expressions are refused.
//!
//! For `search`, case and accents make no difference. In the older form,
//! `TAG VALUE` pairs, `search` looks for a part and `find` for the whole.

use super::{
    args::{Ack, Args},
    dates::parse_time,
};
use crate::{
    catalog::Tag,
    command::filter::{Filter, FilterField, FilterNode, How},
    util::text::fold,
};

/// Takes expressions and pairs for as long as there are some; none at all
/// is a filter that lets everything pass.
///
/// # Errors
/// Says what is wrong and where.
pub fn take(args: &mut Args, folded: bool) -> Result<Filter, Ack> {
    let mut nodes = Vec::new();
    while let Some(word) = args.peek() {
        if word.starts_with('(') {
            let word = args.text()?;
            nodes.push(Parser::new(&word, folded).whole()?);
        } else if let Some(subject) = FilterSubject::parse(word) {
            args.next();
            nodes.push(subject.pair(&args.text()?, folded)?);
        } else {
            break;
        }
    }
    let root = match nodes.len() {
        1 => nodes.remove(0),
        _ => FilterNode::And(nodes),
    };
    Ok(Filter { root, folded })
}

/// Takes a filter that must be there.
///
/// # Errors
/// Also when it is not.
pub fn take_some(args: &mut Args, folded: bool) -> Result<Filter, Ack> {
    if let Some(word) = args.peek() {
        if !word.starts_with('(') && FilterSubject::parse(word).is_none() {
            return Err(Ack::arg(format!("Unknown filter type: {word}")));
        }
        return take(args, folded);
    }
    Err(Ack::arg("not enough arguments: a filter is missing"))
}

/// What a condition is about.
enum FilterSubject {
    Field(FilterField),
    Base,
    ModifiedSince,
    AudioFormat,
}

impl FilterSubject {
    fn parse(name: &str) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        Some(match () {
            () if is("any") => Self::Field(FilterField::Any),
            () if is("file") || is("filename") => Self::Field(FilterField::File),
            () if is("base") => Self::Base,
            () if is("modified-since") => Self::ModifiedSince,
            () if is("AudioFormat") => Self::AudioFormat,
            () => Self::Field(FilterField::Tag(Tag::parse(name)?)),
        })
    }

    /// The condition of an old-style pair.
    fn pair(self, value: &str, folded: bool) -> Result<FilterNode, Ack> {
        let how = match folded {
            true => How::Contains,
            false => How::Equals,
        };
        match self {
            Self::Field(field) => Ok(FilterNode::Text {
                field,
                how,
                negated: false,
                value: folded_if(folded, value.to_owned()),
            }),
            other => other.special(value),
        }
    }

    /// The condition of a subject that is no field.
    fn special(self, value: &str) -> Result<FilterNode, Ack> {
        match self {
            Self::Field(_) => Err(Ack::arg("Malformed filter")),
            Self::Base => Ok(FilterNode::Base(value.trim_end_matches('/').to_owned())),
            Self::ModifiedSince => parse_time(value)
                .map(FilterNode::ModifiedSince)
                .ok_or_else(|| Ack::arg(format!("Bad time: {value}"))),
            Self::AudioFormat => audio_format(value)
                .map(FilterNode::AudioFormat)
                .ok_or_else(|| Ack::arg(format!("Bad audio format: {value}"))),
        }
    }
}

fn audio_format(text: &str) -> Option<[Option<u32>; 3]> {
    let mut parts = text.split(':').map(|part| match part {
        "*" => Some(None),
        _ => part.parse().ok().map(Some),
    });
    let mut next = || parts.next().flatten();
    let format = [next()?, next()?, next()?];
    parts.next().is_none().then_some(format)
}

fn folded_if(folded: bool, value: String) -> String {
    match folded {
        true => fold(&value),
        false => value,
    }
}

/// Reads an expression from the left.
struct Parser<'a> {
    rest: &'a str,
    folded: bool,
}

impl<'a> Parser<'a> {
    fn new(rest: &'a str, folded: bool) -> Self {
        Self { rest, folded }
    }

    fn whole(mut self) -> Result<FilterNode, Ack> {
        let node = self.expression(0)?;
        match self.rest {
            "" => Ok(node),
            rest => Err(Ack::arg(format!(
                "Unparsed garbage after expression: {rest}"
            ))),
        }
    }

    fn expression(&mut self, depth: usize) -> Result<FilterNode, Ack> {
        if depth > MAX_DEPTH {
            return Err(Ack::arg("Filter expression is nested too deeply"));
        }
        self.expect("(")?;
        if self.accept("!") {
            let node = self.expression(depth + 1)?;
            self.expect(")")?;
            return Ok(FilterNode::Not(Box::new(node)));
        }
        if !self.rest.starts_with('(') {
            let node = self.condition()?;
            self.expect(")")?;
            return Ok(node);
        }
        let mut nodes = vec![self.expression(depth + 1)?];
        while !self.accept(")") {
            if self.word() != "AND" {
                return Err(Ack::arg(format!("'AND' expected before: {}", self.rest)));
            }
            nodes.push(self.expression(depth + 1)?);
        }
        Ok(match nodes.len() {
            1 => nodes.remove(0),
            _ => FilterNode::And(nodes),
        })
    }

    fn condition(&mut self) -> Result<FilterNode, Ack> {
        let name = self.word();
        let subject = FilterSubject::parse(name)
            .ok_or_else(|| Ack::arg(format!("Unknown filter type: {name}")))?;
        let field = match subject {
            FilterSubject::Field(field) => field,
            FilterSubject::AudioFormat => {
                if !self.accept("==") {
                    self.expect("=~")?;
                }
                return subject.special(&self.string()?);
            }
            _ => return subject.special(&self.string()?),
        };
        let (how, negated) = self.operator()?;
        let value = folded_if(self.folded, self.string()?);
        Ok(FilterNode::Text {
            field,
            how,
            negated,
            value,
        })
    }

    fn operator(&mut self) -> Result<(How, bool), Ack> {
        if self.rest.starts_with("=~") || self.rest.starts_with("!~") {
            return Err(Ack::arg(
                "this node has no regular expressions; use contains or starts_with",
            ));
        }
        if self.accept("==") {
            return Ok((How::Equals, false));
        }
        if self.accept("!=") {
            return Ok((How::Equals, true));
        }
        let negated = self.accept("!");
        match self.word() {
            "contains" => Ok((How::Contains, negated)),
            "starts_with" => Ok((How::StartsWith, negated)),
            other => Err(Ack::arg(format!("Unknown filter operator: {other}"))),
        }
    }

    /// A quoted string, in which a backslash takes the next character as it is.
    fn string(&mut self) -> Result<String, Ack> {
        let mut chars = self.rest.chars();
        let quote = chars.next().filter(|&c| c == '"' || c == '\'');
        let quote = quote.ok_or_else(|| Ack::arg("Quoted string expected"))?;
        let mut value = String::new();
        loop {
            match chars.next() {
                Some(c) if c == quote => break,
                Some('\\') => value.extend(chars.next()),
                Some(c) => value.push(c),
                None => return Err(Ack::arg("Closing quote not found")),
            }
        }
        self.rest = chars.as_str().trim_start();
        Ok(value)
    }

    /// Letters, digits, `-` and `_`; none is an empty word.
    fn word(&mut self) -> &'a str {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn accept(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Result<(), Ack> {
        match self.accept(token) {
            true => Ok(()),
            false => Err(Ack::arg(format!(
                "'{token}' expected before: {}",
                self.rest
            ))),
        }
    }
}

/// Parentheses in each other: more than any client writes, and far from the
/// end of the stack.
const MAX_DEPTH: usize = 16;

#[cfg(test)]
mod tests;
