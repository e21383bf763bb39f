//! WITH whose common tables write: one statement becomes several steps.
//!
//! A step reads the rows that an earlier one gave as a table of its own. The
//! order is the one PostgreSQL comes to: what the statement itself asks for,
//! the statement, then the rest, the last first, each after what it asks for.
//!
//! Not handled: common tables that name later ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Binder;
use super::scope::{CommonEntry, Gives};
use crate::error::{Error, Result, SqlState};
use crate::plan::evaluation::{of_select, plain};
use crate::plan::expression::{Expression, ExpressionKind};
use crate::plan::function::Volatility;
use crate::plan::query::{CommonTable, From, OutputColumn, Query, RelationId};
use crate::plan::statement::{Compound, Statement as Planned, Step};
use crate::plan::syntax::{CommonBody, Name, Statement, With};
use crate::plan::{Plan, given, visit};
use crate::types::id::TableId;

/// One statement among them: a common table, or at last the statement itself.
struct Part {
    /// What it is to those that name it; `None` for the statement itself.
    common: Option<CommonTable>,
    /// Its own statement; `None` for a query that stands in whatever names it.
    statement: Option<(Planned, Vec<OutputColumn>)>,
    /// The earlier parts that it names.
    names: Vec<usize>,
    /// It locks rows or has another result each time: it may run only once.
    unsteady: bool,
    gives: Option<TableId>,
}

impl Binder<'_> {
    /// A statement whose WITH writes; `main` is the statement without it.
    pub(super) fn compound(
        &mut self,
        with: &With,
        main: &Statement,
    ) -> Result<(Planned, Vec<OutputColumn>)> {
        let mut parts = Vec::with_capacity(with.tables.len() + 1);
        let outside = self.commons.len();
        self.compound = true;
        for common in &with.tables {
            self.check_common_name(&common.name, outside)?;
            let before = self.references();
            let mut part = match &common.body {
                CommonBody::Query(query) => {
                    let locking = std::mem::replace(&mut self.locking, false);
                    let common = self.common_table(common, query, with.recursive)?;
                    let unsteady = self.locking || is_volatile(&common.query);
                    self.locking |= locking;
                    Part {
                        common: Some(common),
                        statement: None,
                        names: Vec::new(),
                        unsteady,
                        gives: None,
                    }
                }
                CommonBody::Writes(statement) => {
                    self.writing_common(common, statement, with.recursive)?
                }
            };
            part.names = self.named_since(&before, outside);
            parts.push(part);
        }
        let before = self.references();
        let (statement, columns) = self.statement(main)?;
        let names = self.named_since(&before, outside);
        self.commons.truncate(outside);
        parts.push(Part {
            common: None,
            statement: Some((statement, columns.clone())),
            names,
            unsteady: false,
            gives: None,
        });
        self.run_unsteady_once(&mut parts);
        let order = order(&parts);
        let main = order.iter().position(|at| *at == parts.len() - 1);
        let steps = order.iter().map(|at| self.step(&parts, *at)).collect();
        let compound = Compound {
            steps,
            main: main.ok_or_else(|| Error::internal("a compound statement without a main one"))?,
        };
        Ok((Planned::Compound(Box::new(compound)), columns))
    }

    fn writing_common(
        &mut self,
        common: &crate::plan::syntax::CommonTable,
        statement: &Statement,
        recursive: bool,
    ) -> Result<Part> {
        let name = &common.name;
        let id = self.common();
        let mut entry = CommonEntry {
            name: name.text.clone(),
            id,
            columns: Vec::new(),
            references: 0,
            gives: Gives::Itself(name.place),
        };
        let place = self.commons.len();
        if recursive {
            self.commons.push(entry.clone());
        }
        let (statement, mut columns) = self.statement(statement)?;
        self.commons.truncate(place);
        let returns = !columns.is_empty();
        self.rename(&mut columns, &common.columns, name)?;
        entry.columns = columns.clone();
        entry.gives = match returns {
            true => Gives::Rows,
            false => Gives::Nothing,
        };
        self.commons.push(entry);
        let (gives, common) = match returns {
            false => (None, None),
            true => {
                let table = self.given();
                let query = given::all_rows(table, self.relation(), &columns);
                (
                    Some(table),
                    Some(CommonTable {
                        id,
                        name: name.text.clone(),
                        query,
                        recursive: false,
                        materialized: Some(true),
                    }),
                )
            }
        };
        Ok(Part {
            common,
            statement: Some((statement, columns)),
            names: Vec::new(),
            unsteady: false,
            gives,
        })
    }

    /// How often each common table in sight was named.
    fn references(&self) -> Vec<usize> {
        self.commons.iter().map(|entry| entry.references).collect()
    }

    /// Those of the WITH that were named since.
    fn named_since(&self, before: &[usize], outside: usize) -> Vec<usize> {
        let counts = self.commons.iter().zip(before).enumerate().skip(outside);
        let named = counts.filter(|(_, (entry, before))| entry.references > **before);
        named.map(|(at, _)| at - outside).collect()
    }

    /// Queries that may run only once, and that several steps name, become steps.
    fn run_unsteady_once(&mut self, parts: &mut [Part]) {
        // What names a part stands behind it.
        let mut users: Vec<BTreeSet<usize>> = vec![BTreeSet::new(); parts.len()];
        for at in (0..parts.len()).rev() {
            if parts[at].statement.is_none() && parts[at].unsteady && users[at].len() > 1 {
                let table = self.given();
                let relation = self.relation();
                if let Some(common) = &mut parts[at].common {
                    let columns = common.query.columns.clone();
                    let rows = given::all_rows(table, relation, &columns);
                    let query = std::mem::replace(&mut common.query, rows);
                    // A recursive query names its own common table.
                    let query = match std::mem::replace(&mut common.recursive, false) {
                        false => query,
                        true => {
                            let recursive = CommonTable {
                                query,
                                recursive: true,
                                ..common.clone()
                            };
                            recursive_alone(recursive, relation)
                        }
                    };
                    common.materialized = Some(true);
                    parts[at].statement = Some((Planned::Query(Box::new(query)), columns));
                    parts[at].gives = Some(table);
                }
            }
            let own = match parts[at].statement {
                Some(_) => BTreeSet::from([at]),
                None => users[at].clone(),
            };
            for named in parts[at].names.clone() {
                users[named].extend(own.iter().copied());
            }
        }
    }

    fn step(&self, parts: &[Part], at: usize) -> Step {
        let part = &parts[at];
        let with: Vec<CommonTable> = in_sight(parts, at)
            .into_iter()
            .filter_map(|at| parts[at].common.clone())
            .collect();
        let (mut statement, columns) = part
            .statement
            .clone()
            .unwrap_or((Planned::Empty, Vec::new()));
        add_with(&mut statement, with);
        Step {
            plan: Arc::new(Plan {
                statement,
                columns,
                tables: self.tables.clone(),
                locking: self.locking,
                schema_version: self.binding.schema.version,
                ..Plan::empty()
            }),
            gives: part.gives,
        }
    }

    /// The name of a common table is not another's of the same WITH.
    pub(super) fn check_common_name(&self, name: &Name, outside: usize) -> Result<()> {
        let same = |entry: &CommonEntry| entry.name == name.text;
        match self.commons[outside..].iter().any(same) {
            false => Ok(()),
            true => Err(self.error(
                SqlState::DUPLICATE_ALIAS,
                name.place,
                format!("WITH query name \"{}\" specified more than once", name.text),
            )),
        }
    }
}

/// The statement's own WITH, if it writes, and the statement without it.
pub(super) fn writing_with(statement: &Statement) -> Option<(&With, Statement)> {
    let with = match statement {
        Statement::Query(query) => query.with.as_ref(),
        Statement::Insert(insert) => insert.with.as_ref(),
        Statement::Update(update) => update.with.as_ref(),
        Statement::Delete(delete) => delete.with.as_ref(),
        _ => None,
    };
    let with = with.filter(|with| writes(with))?;
    let mut rest = statement.clone();
    match &mut rest {
        Statement::Query(query) => query.with = None,
        Statement::Insert(insert) => insert.with = None,
        Statement::Update(update) => update.with = None,
        Statement::Delete(delete) => delete.with = None,
        _ => {}
    }
    Some((with, rest))
}

pub(super) fn writes(with: &With) -> bool {
    let mut tables = with.tables.iter();
    tables.any(|common| matches!(common.body, CommonBody::Writes(_)))
}

/// The parts whose rows or queries a part needs in its WITH.
fn in_sight(parts: &[Part], at: usize) -> BTreeSet<usize> {
    reached(parts, at, |part| part.statement.is_none())
}

/// The parts that one names, and those that `through` parts among them name.
fn reached(parts: &[Part], at: usize, through: impl Fn(&Part) -> bool) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    let mut open = parts[at].names.clone();
    while let Some(named) = open.pop() {
        if seen.insert(named) && through(&parts[named]) {
            open.extend(&parts[named].names);
        }
    }
    seen
}

fn order(parts: &[Part]) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::with_capacity(parts.len());
    let mut known = BTreeSet::new();
    // The statement itself stands last.
    for at in (0..parts.len()).rev() {
        if !runs_anyway(&parts[at]) {
            continue;
        }
        let mut demanded = reached(parts, at, |_| true);
        demanded.retain(|named| parts[*named].statement.is_some());
        demanded.insert(at);
        // Whatever names a part stands behind it.
        order.extend(demanded.into_iter().filter(|at| known.insert(*at)));
    }
    order
}

/// It writes, or is the statement itself: it runs though nobody names it.
fn runs_anyway(part: &Part) -> bool {
    match &part.statement {
        None => false,
        Some((Planned::Query(_), _)) => part.common.is_none(),
        Some(_) => true,
    }
}

fn add_with(statement: &mut Planned, tables: Vec<CommonTable>) {
    let later: Vec<&mut Option<given::Given>> = match statement {
        Planned::Query(query) => {
            query.with.splice(0..0, tables);
            return;
        }
        Planned::Insert(insert) => {
            insert.with.splice(0..0, tables.iter().cloned());
            let update = insert.on_conflict.as_mut();
            let update = update.and_then(|conflict| conflict.update.as_mut());
            let returning = insert.returning.as_mut().map(|it| &mut it.query);
            returning
                .into_iter()
                .chain(update.map(|it| &mut it.query))
                .collect()
        }
        Planned::Update(update) => {
            update.with.splice(0..0, tables.iter().cloned());
            let returning = update.returning.as_mut().map(|it| &mut it.query);
            returning.into_iter().collect()
        }
        Planned::Delete(delete) => {
            delete.with.splice(0..0, tables.iter().cloned());
            let returning = delete.returning.as_mut().map(|it| &mut it.query);
            returning.into_iter().collect()
        }
        _ => return,
    };
    for query in later.into_iter().flatten() {
        let query = Arc::make_mut(&mut query.query);
        query.with.splice(0..0, tables.iter().cloned());
    }
}

/// A recursive common table as a query of its own.
fn recursive_alone(common: CommonTable, relation: RelationId) -> Query {
    let columns = common.query.columns.clone();
    let projection = columns.iter().enumerate();
    let projection = projection
        .map(|(place, column)| Expression::column(relation, place, column.ty.clone()))
        .collect();
    let from = From::Common {
        relation,
        common: common.id,
        alias: common.name.clone(),
    };
    let mut query = of_select(plain(projection, vec![from], None));
    query.columns = columns;
    query.with = vec![common];
    query
}

/// Has it another result each time?
pub(super) fn is_volatile(query: &Query) -> bool {
    visit::any_within(query, &mut |part| match &part.kind {
        ExpressionKind::Call { function, .. } => function.volatility == Volatility::Volatile,
        _ => false,
    })
}
