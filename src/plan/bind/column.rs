//! What a column name means.

use super::scope::{Item, ItemColumn};
use super::{Binder, dotted};
use crate::catalog::schema::Namespace;
use crate::error::{Error, Result, SqlState};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::syntax::{Name, Path, Place};

/// PostgreSQL offers a similar column name at most this many edits away.
const MAX_HINT_DISTANCE: usize = 3;

/// A column found: its item's columns and the level of its scope.
pub(super) struct Found {
    pub(super) column: ItemColumn,
    pub(super) level: usize,
}

impl Binder<'_> {
    /// A column reference in an expression.
    pub(super) fn column(&mut self, path: &Path, place: Place) -> Result<Expression> {
        let (found, qualifier) = match path.as_slice() {
            [name] => match self.bare_column(name)? {
                Some(found) => (found, None),
                None => return self.whole_row_of(path, place),
            },
            [qualifiers @ .., name] => {
                let (level, item) = self.qualified_item(qualifiers, path)?;
                let found = self.column_of(&item, name, level, qualifiers)?;
                (found, Some(item.alias))
            }
            [] => return Err(Error::internal("a column reference without a name")),
        };
        let Found { column, level } = found;
        self.note_use(&column, level, place, qualifier);
        Ok(column.expression)
    }

    pub(super) fn note_use(
        &mut self,
        column: &ItemColumn,
        level: usize,
        place: Place,
        qualifier: Option<String>,
    ) {
        let scope = &mut self.scopes[level];
        if scope.in_aggregate {
            return;
        }
        if let ExpressionKind::Column {
            relation,
            column: at,
        } = column.expression.kind
        {
            let qualifier = qualifier.or_else(|| {
                let mut items = scope.items.iter();
                items
                    .find(|item| item.relation == Some(relation))
                    .map(|item| item.alias.clone())
            });
            let name = match qualifier.filter(|qualifier| !qualifier.is_empty()) {
                Some(qualifier) => format!("{qualifier}.{}", column.name),
                None => column.name.clone(),
            };
            scope.uses.entry((relation, at)).or_insert((place, name));
        }
    }

    /// What a bare name means; `None`: the row of the relation of this name.
    fn bare_column(&self, name: &Name) -> Result<Option<Found>> {
        if let Some(found) = self.find_bare(name)? {
            return Ok(Some(found));
        }
        if let Some((column, level)) = self.bare_system_column(name)? {
            return Ok(Some(Found { column, level }));
        }
        let mut items = self.scopes.iter().flat_map(|scope| &scope.items);
        if items.any(|item| item.named && !item.covered && item.alias == name.text) {
            return Ok(None);
        }
        let error = self.error(
            SqlState::UNDEFINED_COLUMN,
            name.place,
            format!("column \"{}\" does not exist", name.text),
        );
        Err(self.hint_column(error, name, None))
    }

    /// The column that a bare name means, if any.
    pub(super) fn find_bare(&self, name: &Name) -> Result<Option<Found>> {
        for (level, scope) in self.scopes.iter().enumerate().rev() {
            let mut found: Option<(&Item, &ItemColumn)> = None;
            for item in scope.items.iter().filter(|item| item.bare) {
                if item.lateral_only && !scope.lateral {
                    continue;
                }
                for column in item.visible().filter(|column| column.name == name.text) {
                    if found.is_some() {
                        return Err(self.error(
                            SqlState::AMBIGUOUS_COLUMN,
                            name.place,
                            format!("column reference \"{}\" is ambiguous", name.text),
                        ));
                    }
                    found = Some((item, column));
                }
            }
            if let Some((item, column)) = found {
                self.check_lateral(item, name)?;
                let column = column.clone();
                return Ok(Some(Found { column, level }));
            }
        }
        Ok(None)
    }

    fn check_lateral(&self, item: &Item, name: &Name) -> Result<()> {
        if item.lateral_only && !item.lateral_allowed {
            return Err(self
                .error(
                    SqlState::INVALID_COLUMN_REFERENCE,
                    name.place,
                    format!(
                        "invalid reference to FROM-clause entry for table \"{}\"",
                        item.alias
                    ),
                )
                .detail("The combining JOIN type must be INNER or LEFT for a LATERAL reference."));
        }
        Ok(())
    }

    /// The item that `t` of `t.a`, or `schema.t`, means; and its level.
    pub(super) fn qualified_item(&self, qualifiers: &[Name], path: &Path) -> Result<(usize, Item)> {
        let Some((name, schema)) = qualifiers.split_last() else {
            return Err(Error::internal("an empty qualifier"));
        };
        let namespace = match schema {
            [] => None,
            schema => Some(
                self.namespace(schema)?
                    .ok_or_else(|| self.missing_item(qualifiers))?,
            ),
        };
        for (level, scope) in self.scopes.iter().enumerate().rev() {
            let mut found = None;
            for item in scope.items.iter().filter(|item| item.named) {
                if (item.lateral_only && !scope.lateral) || !names_item(item, name, namespace) {
                    continue;
                }
                if found.is_some() {
                    return Err(self.error(
                        SqlState::AMBIGUOUS_ALIAS,
                        name.place,
                        format!("table reference \"{}\" is ambiguous", name.text),
                    ));
                }
                found = Some(item);
            }
            if let Some(item) = found {
                self.check_lateral(item, name)?;
                return Ok((level, item.clone()));
            }
        }
        let _ = path;
        Err(self.missing_item(qualifiers))
    }

    fn missing_item(&self, qualifiers: &[Name]) -> Error {
        let name = dotted(&qualifiers.to_vec());
        let place = qualifiers.first().map_or(Place(0), |name| name.place);
        let last = qualifiers.last().map_or("", |name| &name.text);
        for scope in self.scopes.iter().rev() {
            for item in &scope.items {
                let invalid = |hint: String| {
                    self.error(
                        SqlState::UNDEFINED_TABLE,
                        place,
                        format!("invalid reference to FROM-clause entry for table \"{last}\""),
                    )
                    .hint(hint)
                };
                if item.named && item.alias == last {
                    return invalid(format!(
                        "There is an entry for table \"{last}\", but it cannot be referenced from this part of the query."
                    ));
                }
                let stored = item.table.as_ref().is_some_and(|table| table.name == last);
                if stored && !item.unaliased {
                    return invalid(format!(
                        "Perhaps you meant to reference the table alias \"{}\".",
                        item.alias
                    ));
                }
            }
        }
        self.error(
            SqlState::UNDEFINED_TABLE,
            place,
            format!("missing FROM-clause entry for table \"{name}\""),
        )
    }

    fn column_of(
        &self,
        item: &Item,
        name: &Name,
        level: usize,
        qualifiers: &[Name],
    ) -> Result<Found> {
        let mut columns = item.visible().filter(|column| column.name == name.text);
        let place = qualifiers.first().map_or(name.place, |name| name.place);
        match (columns.next(), columns.next()) {
            (Some(column), None) => Ok(Found {
                column: column.clone(),
                level,
            }),
            (Some(_), Some(_)) => Err(self.error(
                SqlState::AMBIGUOUS_COLUMN,
                place,
                format!("column reference \"{}\" is ambiguous", name.text),
            )),
            (None, _) => {
                if let Some(column) = self.system_column(item, name)? {
                    return Ok(Found { column, level });
                }
                let error = self.error(
                    SqlState::UNDEFINED_COLUMN,
                    place,
                    format!("column {}.{} does not exist", item.alias, name.text),
                );
                Err(self.hint_column(error, name, Some(&item.alias)))
            }
        }
    }

    /// Adds PostgreSQL's guess at what was meant.
    fn hint_column(&self, error: Error, name: &Name, qualifier: Option<&str>) -> Error {
        let mut best: Vec<String> = Vec::new();
        let mut least = MAX_HINT_DISTANCE.min(name.text.chars().count() / 2) + 1;
        for item in self.scopes.iter().flat_map(|scope| &scope.items) {
            if !item.named || item.covered || item.alias.is_empty() {
                continue;
            }
            let penalty = qualifier.map_or(0, |alias| distance(alias, &item.alias));
            for column in item.visible() {
                let edits = penalty + distance(&name.text, &column.name);
                if edits > least || edits > MAX_HINT_DISTANCE {
                    continue;
                }
                if edits < least {
                    best.clear();
                    least = edits;
                }
                best.push(format!("\"{}.{}\"", item.alias, column.name));
            }
        }
        let limit = MAX_HINT_DISTANCE.min(name.text.chars().count() / 2);
        if least > limit {
            return error;
        }
        match best.as_slice() {
            [one] => error.hint(format!("Perhaps you meant to reference the column {one}.")),
            [one, other] => error.hint(format!(
                "Perhaps you meant to reference the column {one} or the column {other}."
            )),
            _ => error,
        }
    }

    /// The columns of `*` or `t.*`, in order.
    pub(super) fn star(&mut self, path: &Path, place: Place) -> Result<Vec<ItemColumn>> {
        let level = self.scopes.len() - 1;
        let (level, items) = if path.is_empty() {
            let items: Vec<Item> = self.scopes[level]
                .items
                .iter()
                .filter(|item| item.bare)
                .cloned()
                .collect();
            if items.is_empty() {
                return Err(self.error(
                    SqlState::SYNTAX_ERROR,
                    place,
                    "SELECT * with no tables specified is not valid",
                ));
            }
            (level, items)
        } else {
            let (level, item) = self.qualified_item(path, path)?;
            (level, vec![item])
        };
        let mut columns = Vec::new();
        for item in items {
            for column in item.visible() {
                self.note_use(column, level, place, Some(item.alias.clone()));
                columns.push(column.clone());
            }
        }
        Ok(columns)
    }
}

fn names_item(item: &Item, name: &Name, namespace: Option<Namespace>) -> bool {
    if item.covered {
        return false;
    }
    match namespace {
        None => item.alias == name.text,
        Some(namespace) => {
            item.unaliased
                && item
                    .table
                    .as_ref()
                    .is_some_and(|table| table.namespace == namespace && table.name == name.text)
        }
    }
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substitute = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substitute.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
