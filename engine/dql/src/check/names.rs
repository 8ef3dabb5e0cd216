//! What the names in expressions stand for.

use crate::ast::{Binding, BindingPart, Expr, Path, ProjectionItem, Root, Source};
use crate::error::{Checked, Fault, Place};

/// The sources that names can refer to.
#[derive(Debug, Clone)]
pub(super) struct Sources {
    /// Name, and whether it was given as an alias.
    names: Vec<(String, bool)>,
}

impl Sources {
    /// No document: every field is a mistake.
    pub fn none() -> Self {
        Self { names: Vec::new() }
    }

    /// # Errors
    /// Two sources of one name.
    pub fn new<'s>(sources: impl Iterator<Item = &'s Source>) -> Checked<Self> {
        let mut names: Vec<(String, bool)> = Vec::new();
        for source in sources {
            let name = source.name();
            if names.iter().any(|(known, _)| known == name) {
                return Err(Fault::semantics(source.place, format!("two collections are named {name} here"))
                    .hint("give one of them an alias"));
            }
            names.push((name.to_owned(), source.alias.is_some()));
        }
        Ok(Self { names })
    }

    /// The first `count` sources.
    pub fn first(&self, count: usize) -> Self {
        Self { names: self.names.iter().take(count).cloned().collect() }
    }

    fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|(known, _)| known == name)
    }

    /// The source that is called `name`.
    pub fn find(&self, name: &str, place: Place) -> Checked<usize> {
        self.position(name).ok_or_else(|| {
            let known: Vec<_> = self.names.iter().map(|(name, _)| name.as_str()).collect();
            Fault::semantics(place, format!("no collection is named {name} here"))
                .hint(format!("known: {}", known.join(", ")))
        })
    }

    /// Takes the name of a source off the front of a field path, if more follows it.
    pub fn strip_name(&self, path: &mut Vec<String>) {
        if path.len() > 1 && path.first().is_some_and(|first| self.position(first).is_some()) {
            path.remove(0);
        }
    }
}

/// Resolves the paths of an expression.
pub(super) struct Names<'s> {
    sources: &'s Sources,
    /// Projection items whose aliases are visible: in ORDER BY.
    aliases: &'s [ProjectionItem],
    /// Names bound by the quantifiers and transforms around the current expression, innermost last.
    bound: Vec<(Option<String>, String)>,
}

impl<'s> Names<'s> {
    pub fn new(sources: &'s Sources) -> Self {
        Self { sources, aliases: &[], bound: Vec::new() }
    }

    pub fn with_aliases(mut self, aliases: &'s [ProjectionItem]) -> Self {
        self.aliases = aliases;
        self
    }

    pub fn resolve(&mut self, expr: &mut Expr) -> Checked<()> {
        match expr {
            Expr::Path(path) => {
                if let Some(meant) = self.path(path)? {
                    *expr = meant;
                }
                Ok(())
            }
            Expr::Quantified(quantified) => {
                let outer = self.bound.len();
                for binding in &mut quantified.bindings {
                    self.bind(binding)?;
                }
                let result = self.resolve(&mut quantified.condition);
                self.bound.truncate(outer);
                result
            }
            Expr::ArrayFor(transform) => {
                let outer = self.bound.len();
                self.bind(&mut transform.binding)?;
                self.resolve(&mut transform.result)?;
                transform.condition.iter_mut().try_for_each(|condition| self.resolve(condition))?;
                self.bound.truncate(outer);
                Ok(())
            }
            Expr::ObjectFor(transform) => {
                let outer = self.bound.len();
                self.bind(&mut transform.binding)?;
                self.resolve(&mut transform.name)?;
                self.resolve(&mut transform.result)?;
                transform.condition.iter_mut().try_for_each(|condition| self.resolve(condition))?;
                self.bound.truncate(outer);
                Ok(())
            }
            other => {
                super::patterns::check(other)?;
                let mut result = Ok(());
                other.for_each_part_mut(&mut |part| {
                    if result.is_ok() {
                        result = self.resolve(part);
                    }
                });
                result
            }
        }
    }

    /// Resolves the source of a binding outside of its scope, then opens the scope.
    fn bind(&mut self, binding: &mut Binding) -> Checked<()> {
        self.resolve(&mut binding.source)?;
        self.bound.push((binding.key.clone(), binding.value.clone()));
        Ok(())
    }

    /// Sets the root of a path, or gives the expression that a projection alias stands for.
    fn path(&self, path: &mut Path) -> Checked<Option<Expr>> {
        let Some((first, rest)) = path.steps.split_first() else { return Ok(None) };
        for (up, (key, value)) in self.bound.iter().rev().enumerate() {
            let part = if first == value {
                BindingPart::Value
            } else if key.as_ref() == Some(first) {
                BindingPart::Key
            } else {
                continue;
            };
            path.root = Root::Binding { up, part };
            return Ok(None);
        }
        let source = self.sources.position(first);
        if let (Some(source), false) = (source, rest.is_empty()) {
            path.root = Root::Source(source);
            return Ok(None);
        }
        for item in self.aliases {
            if let ProjectionItem::Value { expr, name, aliased: true, .. } = item
                && name == first
            {
                return Ok(Some(rest.iter().fold(expr.clone(), |of, name| Expr::member(of, name.clone()))));
            }
        }
        path.root = match (source, self.sources.names.as_slice()) {
            (_, []) => {
                return Err(Fault::semantics(
                    path.place,
                    format!("there is no document here that could have a {first}"),
                )
                .hint("text needs quotes, and parameters a colon"));
            }
            (Some(source), names) if names.len() > 1 || names.iter().any(|(_, alias)| *alias) => {
                Root::Document(source)
            }
            (_, [_]) => Root::Field(0),
            _ => {
                return Err(Fault::semantics(
                    path.place,
                    format!("{first} could belong to several collections"),
                )
                .hint("write the alias of the collection before it"));
            }
        };
        Ok(None)
    }
}
