//! What `docs/filters.md` says of subscriptions: sentences of its grammar, made at random, are subscriptions, and its functions are
//! those that there are.

use std::collections::{BTreeMap, BTreeSet};

use ditto_value::{Object, Value};

use crate::functions::names;
use crate::subscription;

const PAGE: &str = include_str!("../../../../docs/filters.md");

/// What the grammar is made of.
#[derive(Debug)]
enum Part {
    /// In quotes: written so.
    Literal(String),
    /// Another rule, or what the lexical rules describe.
    Rule(String),
    /// One of several sequences.
    Choice(Vec<Vec<Part>>),
    /// None or one.
    Option(Vec<Vec<Part>>),
    /// Any number.
    Repetition(Vec<Vec<Part>>),
}

/// The grammar in the first block of the page.
struct Grammar(BTreeMap<String, Vec<Vec<Part>>>);

impl Grammar {
    fn read() -> Self {
        let block = PAGE.split("```text\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let mut rules = BTreeMap::new();
        let mut lines = block.lines().filter(|line| !line.is_empty()).peekable();
        while let Some(line) = lines.next() {
            let (name, body) = line.split_once(' ').unwrap();
            let mut body = body.to_owned();
            while let Some(more) = lines.next_if(|line| line.starts_with(' ')) {
                body += more;
            }
            let mut words = body.split_whitespace();
            rules.insert(name.to_owned(), Self::choice(&mut words, None));
        }
        Self(rules)
    }

    fn choice<'t>(words: &mut impl Iterator<Item = &'t str>, end: Option<&str>) -> Vec<Vec<Part>> {
        let mut choice = vec![Vec::new()];
        loop {
            let word = words.next();
            if word == end {
                return choice;
            }
            let part = match word.unwrap() {
                "|" => {
                    choice.push(Vec::new());
                    continue;
                }
                "(" => Part::Choice(Self::choice(words, Some(")"))),
                "[" => Part::Option(Self::choice(words, Some("]"))),
                "{" => Part::Repetition(Self::choice(words, Some("}"))),
                word => match word.strip_prefix('"') {
                    Some(literal) => Part::Literal(literal.strip_suffix('"').unwrap().to_owned()),
                    None => Part::Rule(word.to_owned()),
                },
            };
            choice.last_mut().unwrap().push(part);
        }
    }
}

/// Writes a sentence at random.
struct Writer<'g> {
    grammar: &'g Grammar,
    state: u64,
    text: String,
    /// The words after a `:`.
    placeholders: BTreeSet<String>,
    /// Parts that may still be chosen freely.
    length: u32,
}

impl Writer<'_> {
    fn below(&mut self, count: usize) -> usize {
        self.state =
            self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.state >> 33) as usize % count
    }

    fn pick<T: Copy>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())]
    }

    fn space(&mut self) {
        let space = self.pick(&[" ", " ", " ", "\n\t", " /* * */ ", " -- to the end\n"]);
        self.text.push_str(space);
    }

    /// In capitals, in small letters, or as it is written.
    fn keyword(&mut self, word: &str) {
        let word = match self.below(3) {
            0 if word.starts_with(|first: char| first.is_ascii_uppercase()) => word.to_lowercase(),
            _ => word.to_owned(),
        };
        self.text.push_str(&word);
        self.space();
    }

    fn sentence(&mut self, choice: &[Vec<Part>]) {
        self.length = self.length.saturating_sub(1);
        // The last alternative of a rule need not be the shortest, but a name or a literal always is one.
        let simple =
            choice.iter().position(|parts| matches!(parts[..], [Part::Rule(ref rule)] if rule == "number"));
        let index = match simple {
            Some(simple) if self.length == 0 => simple,
            _ => self.below(choice.len()),
        };
        let mut parts = choice[index].iter().peekable();
        while let Some(part) = parts.next() {
            match part {
                Part::Literal(literal)
                    if literal == ":" && matches!(parts.peek(), Some(Part::Rule(rule)) if rule == "word") =>
                {
                    parts.next();
                    let word = self.word();
                    self.text.push_str(&format!(":{word}"));
                    self.placeholders.insert(word.to_owned());
                    self.space();
                }
                Part::Literal(literal) => self.keyword(literal),
                Part::Rule(rule) if rule == "function" => {
                    // Takes any number of arguments but none.
                    parts.nth(2);
                    self.keyword("COALESCE");
                    self.keyword("(");
                    self.sentence(&self.grammar.0["list"]);
                    self.keyword(")");
                }
                Part::Rule(rule) => match self.grammar.0.get(rule) {
                    Some(choice) => self.sentence(choice),
                    None => self.lexical(rule),
                },
                Part::Choice(choice) => self.sentence(choice),
                Part::Option(choice) => {
                    if self.length > 0 && self.below(2) == 0 {
                        self.sentence(choice);
                    }
                }
                Part::Repetition(choice) => {
                    while self.length > 0 && self.below(4) == 0 {
                        self.sentence(choice);
                    }
                }
            }
        }
    }

    fn word(&mut self) -> &'static str {
        self.pick(&["a", "bed", "_x1", "n9", "Plants", "select", "clock"])
    }

    fn lexical(&mut self, rule: &str) {
        let text = match rule {
            "word" => self.word().to_owned(),
            "name" => match self.below(3) {
                0 => self
                    .pick(&["`and`", "`b``c`", "`two words`", "`ü:`", "`'`", "`0`", "`missing`"])
                    .to_owned(),
                _ => self.pick(&["a", "bed", "_x1", "n9", "Plants"]).to_owned(),
            },
            "number" => {
                self.pick(&["0", "7", "1.5", "2e3", "1.25E-2", "0x1F", "18446744073709551615"]).to_owned()
            }
            "string" => self
                .pick(&["''", "'a'", "\"b\"", "'it\\'s'", "'\\u00e9\\ud83c\\udf31\\n'", "'ü'", "\"\\q\""])
                .to_owned(),
            "quoted" => {
                self.pick(&["'string'", "'integer'", "\"float\"", "'boolean'", "'binary'"]).to_owned()
            }
            _ => panic!("{rule} is described nowhere"),
        };
        self.text.push_str(&text);
        self.space();
    }
}

/// Why some of what the grammar makes is refused all the same, as the page says.
const REFUSED: [&str; 4] = ["pattern", "ESCAPE", "defined twice", "cannot select a member"];

#[test]
fn what_its_grammar_makes_is_a_subscription() {
    let grammar = Grammar::read();
    let (mut filtered, mut refused) = (0, 0);
    for seed in 0..20_000 {
        let text = String::new();
        let mut writer =
            Writer { grammar: &grammar, state: seed, text, placeholders: BTreeSet::new(), length: 60 };
        writer.sentence(&grammar.0["query"]);
        let Writer { text, placeholders, .. } = writer;
        let arguments: Object = placeholders.into_iter().map(|word| (word, Value::from(1))).collect();
        let query = match subscription(&text, &arguments) {
            Ok(query) => query,
            Err(error) if REFUSED.iter().any(|reason| error.to_string().contains(reason)) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("seed {seed}: {text}\n{error}"),
        };
        filtered += u32::from(query.filter.is_some());
        let again = subscription(&query.normalized, &arguments)
            .unwrap_or_else(|error| panic!("seed {seed}: {text}\n{}\n{error}", query.normalized));
        assert_eq!(again, query, "seed {seed}: {text}");
    }
    assert!(filtered > 8_000 && refused < 1_000, "{filtered} with a filter, {refused} refused");
}

#[test]
fn its_functions_are_those_that_there_are() {
    let tables = PAGE.split("| function | value |").skip(1);
    let rows = tables.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|')));
    // `trim(s)`, `ltrim`: a name that is in code, with or without arguments.
    let first_columns = rows.filter_map(|row| row.split('|').nth(1));
    let in_code = first_columns.flat_map(|column| column.split('`').skip(1).step_by(2));
    let documented: BTreeSet<&str> = in_code.filter_map(|code| code.split('(').next()).collect();
    let mut known: BTreeSet<&str> = names().collect();
    // Depend on more than the document.
    assert!(known.remove("clock") && known.remove("request_info"));
    // Has a syntax of its own.
    known.insert("trim");
    assert_eq!(documented, known);
}
