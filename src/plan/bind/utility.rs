//! Statements that are neither queries nor definitions.

use std::sync::Arc;

use super::Binder;
use super::scope::{Item, Scope};
use crate::catalog::schema::Table;
use crate::error::{Error, Result, SqlState};
use crate::plan::Plan;
use crate::plan::expression::Expression;
use crate::plan::parse;
use crate::plan::query::{Body, Distinct, Select};
use crate::plan::query::{From, OutputColumn, Query as Bound};
use crate::plan::statement::{
    AdminStatement, Copy as Planned, CopyDirection, CopyFormat, CopyHeader, ExplainFormat,
    SessionStatement, Statement as PlannedStatement, TransactionStatement,
};
use crate::plan::syntax::{Copy, CopySource, Path, Statement, TypeName};
use crate::types::Type;
use crate::types::id::TableId;

type Outcome = Result<(PlannedStatement, Vec<OutputColumn>)>;

impl Binder<'_> {
    /// EXPLAIN: the plan of what it explains, planned with the same parameters.
    pub(super) fn explain(
        &mut self,
        statement: &Statement,
        analyze: bool,
        format: ExplainFormat,
    ) -> Outcome {
        let (inner, columns) = self.statement(statement)?;
        let plan = Plan {
            statement: inner,
            parameters: Vec::new(),
            columns,
            tables: self.tables.clone(),
            system: self.system,
            locking: self.locking,
            schema_version: self.binding.schema.version,
            ..Plan::empty()
        };
        let planned = PlannedStatement::Explain {
            plan: std::sync::Arc::new(plan),
            analyze,
            format,
        };
        let ty = match format {
            ExplainFormat::Text => Type::Text,
            ExplainFormat::Json => Type::Json,
        };
        Ok((planned, vec![column("QUERY PLAN", ty)]))
    }

    pub(super) fn truncate(
        &mut self,
        paths: &[Path],
        restart_identity: bool,
        cascade: bool,
    ) -> Outcome {
        let mut tables: Vec<TableId> = Vec::with_capacity(paths.len());
        for path in paths {
            let table = self.unplaced(path, Self::written_table)?;
            if !tables.contains(&table.id) {
                tables.push(table.id);
            }
        }
        // Tables that refer to these must go too, or be refused.
        let mut at = 0;
        while at < tables.len() {
            let parent = tables[at];
            let children: Vec<_> = self.binding.schema.children_of(parent).collect();
            for (child, key) in children {
                if tables.contains(&child.id) {
                    continue;
                }
                if !cascade {
                    return Err(self.truncate_refused(parent, &child.name, &key.name));
                }
                self.uses(child);
                tables.push(child.id);
            }
            at += 1;
        }
        let planned = PlannedStatement::Truncate {
            tables,
            restart_identity,
        };
        Ok((planned, Vec::new()))
    }

    /// A table of a utility statement: PostgreSQL's error has no place there.
    fn unplaced<'p>(
        &mut self,
        path: &'p Path,
        find: impl FnOnce(&mut Self, &'p Path) -> Result<Arc<Table>>,
    ) -> Result<Arc<Table>> {
        if self.find_table(path)?.is_none() {
            return Err(Error::new(
                SqlState::UNDEFINED_TABLE,
                format!("relation \"{}\" does not exist", super::dotted(path)),
            ));
        }
        find(self, path)
    }

    fn truncate_refused(&self, parent: TableId, child: &str, key: &str) -> Error {
        let parent = self.binding.schema.table(parent);
        let parent = parent.map_or("", |table| table.name.as_str());
        let _ = key;
        Error::new(
            SqlState::FEATURE_NOT_SUPPORTED,
            "cannot truncate a table referenced in a foreign key constraint",
        )
        .detail(format!("Table \"{child}\" references \"{parent}\"."))
        .hint(format!(
            "Truncate table \"{child}\" at the same time, or use TRUNCATE ... CASCADE."
        ))
    }

    pub(super) fn lock(&mut self, paths: &[Path], exclusive: bool, no_wait: bool) -> Outcome {
        let mut tables = Vec::with_capacity(paths.len());
        for path in paths {
            tables.push(self.unplaced(path, Self::written_table)?.id);
        }
        let planned = PlannedStatement::Transaction(TransactionStatement::Lock {
            tables,
            exclusive,
            no_wait,
        });
        Ok((planned, Vec::new()))
    }

    pub(super) fn session(&mut self, statement: &SessionStatement) -> Outcome {
        if let SessionStatement::Declare { text, .. } = statement {
            self.take_parameters_of(text)?;
        }
        let columns = match statement {
            SessionStatement::Show { name } => vec![column(&shown_name(name), Type::Text)],
            SessionStatement::ShowAll => ["name", "setting", "description"]
                .map(|name| column(name, Type::Text))
                .to_vec(),
            _ => Vec::new(),
        };
        Ok((PlannedStatement::Session(statement.clone()), columns))
    }

    /// DECLARE has the parameters of its query.
    fn take_parameters_of(&mut self, text: &str) -> Result<()> {
        let behind = self.text.find(text).unwrap_or_default();
        let before = &self.text[..behind];
        let parsed = parse::parse(text).map_err(|error| error.behind(before))?;
        if let [query] = parsed.as_slice() {
            let plan = super::plan(query, &self.binding, &self.parameters)
                .map_err(|error| error.behind(before))?;
            self.parameters = plan.parameters.into_iter().map(Some).collect();
        }
        Ok(())
    }

    pub(super) fn prepare(&mut self, name: &str, types: &[TypeName], text: &str) -> Outcome {
        let types = types.iter().map(|ty| self.type_name(ty));
        let planned = PlannedStatement::Session(SessionStatement::Prepare {
            name: name.to_owned(),
            types: types.collect::<Result<_>>()?,
            text: text.to_owned(),
        });
        Ok((planned, Vec::new()))
    }

    pub(super) fn admin(&mut self, statement: &AdminStatement) -> Outcome {
        Ok((PlannedStatement::Admin(statement.clone()), Vec::new()))
    }

    /// VACUUM and its kin change nothing, but the tables must be there.
    pub(super) fn maintenance(&mut self, tag: &'static str, paths: &[Path]) -> Outcome {
        for path in paths {
            self.unplaced(path, Self::table)?;
        }
        self.tables.clear();
        self.system = false;
        Ok((PlannedStatement::Maintenance { tag }, Vec::new()))
    }

    pub(super) fn copy(&mut self, copy: &Copy) -> Outcome {
        if copy.filter.is_some() {
            return Err(Error::unsupported("COPY FROM with WHERE"));
        }
        let (direction, columns) = match (&copy.source, copy.from) {
            (CopySource::Table(path, names), true) => self.copy_in(path, names.as_deref())?,
            (CopySource::Table(path, names), false) => self.copy_table(path, names.as_deref())?,
            (CopySource::Query(query), _) => {
                let query = self.query(query, true)?;
                let columns = query.columns.clone();
                let query = Box::new(query);
                (CopyDirection::Out { query }, columns)
            }
        };
        let mut planned = copy_options(copy, direction)?;
        let mut columns = columns;
        if planned.format != crate::plan::statement::CopyFormat::Binary
            && let CopyDirection::Out { query } = &mut planned.direction
            && columns.iter().any(|column| shows_a_name(&column.ty))
        {
            self.names_as_text(query);
            columns.clone_from(&query.columns);
        }
        Ok((PlannedStatement::Copy(planned), columns))
    }

    /// COPY TO writes values that are numbers of objects by their names,
    /// which a query looks up.
    fn names_as_text(&mut self, query: &mut Box<crate::plan::query::Query>) {
        let relation = self.relation();
        let mut columns = query.columns.clone();
        let mut projection = Vec::with_capacity(columns.len());
        for (place, column) in columns.iter_mut().enumerate() {
            let value = Expression::column(relation, place, column.ty.clone());
            if !shows_a_name(&column.ty) {
                projection.push(value);
                continue;
            }
            column.ty = Type::Text;
            projection.push(Expression {
                kind: crate::plan::expression::ExpressionKind::Cast {
                    operand: Box::new(value),
                    explicit: true,
                },
                ty: Type::Text,
            });
        }
        let outer = crate::plan::query::Query {
            with: Vec::new(),
            body: Body::Values(Vec::new()),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            columns,
            locks: Vec::new(),
        };
        let inner = std::mem::replace(query.as_mut(), outer);
        query.body = Body::Select(Box::new(Select {
            distinct: Distinct::No,
            projection,
            from: vec![From::Subquery {
                relation,
                query: Box::new(inner),
                alias: String::new(),
                lateral: false,
            }],
            filter: None,
            group_by: Vec::new(),
            grouped: false,
            having: None,
        }));
    }

    fn copy_in(
        &mut self,
        path: &Path,
        names: Option<&[crate::plan::syntax::Name]>,
    ) -> Result<(CopyDirection, Vec<OutputColumn>)> {
        let table = self.written_table(path)?;
        let columns = match names {
            Some(names) => self.written_columns(&table, names)?,
            None => table.visible().map(|(place, _)| place).collect(),
        };
        let mut defaults = Vec::new();
        for place in 0..table.columns.len() {
            if !columns.contains(&place) {
                defaults.push((place, self.default_of(&table, place)?));
            }
        }
        let direction = CopyDirection::In {
            table,
            columns,
            defaults,
        };
        Ok((direction, Vec::new()))
    }

    /// COPY table TO: a query of its columns.
    fn copy_table(
        &mut self,
        path: &Path,
        names: Option<&[crate::plan::syntax::Name]>,
    ) -> Result<(CopyDirection, Vec<OutputColumn>)> {
        let table = self.table(path)?;
        let places = match names {
            Some(names) => self.written_columns(&table, names)?,
            None => table.visible().map(|(place, _)| place).collect(),
        };
        let relation = self.relation();
        let item = Item::table(&table, relation, None);
        self.scopes.push(Scope::default());
        let mut columns = Vec::with_capacity(places.len());
        let mut projection = Vec::with_capacity(places.len());
        for place in places {
            let column = &item.columns[place];
            columns.push(OutputColumn {
                name: column.name.clone(),
                ty: column.expression.ty.clone(),
                origin: column.origin,
            });
            projection.push(Expression::column(
                relation,
                place,
                column.expression.ty.clone(),
            ));
        }
        self.scopes.pop();
        let select = Select {
            distinct: Distinct::No,
            projection,
            from: vec![From::Table {
                relation,
                alias: table.name.clone(),
                table,
            }],
            filter: None,
            group_by: Vec::new(),
            grouped: false,
            having: None,
        };
        let query = Box::new(Bound {
            with: Vec::new(),
            body: Body::Select(Box::new(select)),
            order_by: Vec::new(),
            limit: None,
            offset: None,
            columns: columns.clone(),
            locks: Vec::new(),
        });
        Ok((CopyDirection::Out { query }, columns))
    }
}

/// COPY's options with their defaults, checked as PostgreSQL does.
fn copy_options(copy: &Copy, direction: CopyDirection) -> Result<Planned> {
    let csv = copy.format == CopyFormat::Csv;
    let refused = |message: &str| Err(Error::new(SqlState::FEATURE_NOT_SUPPORTED, message));
    if copy.format == CopyFormat::Binary && (copy.delimiter.is_some() || copy.null.is_some()) {
        let option = if copy.delimiter.is_some() {
            "DELIMITER"
        } else {
            "NULL"
        };
        return Err(Error::new(
            SqlState::SYNTAX_ERROR,
            format!("cannot specify {option} in BINARY mode"),
        ));
    }
    if !csv && (copy.quote.is_some() || copy.escape.is_some()) {
        let option = if copy.quote.is_some() {
            "quote"
        } else {
            "escape"
        };
        return refused(&format!("COPY {option} available only in CSV mode"));
    }
    if copy.format == CopyFormat::Binary && copy.header != CopyHeader::No {
        return refused("cannot specify HEADER in BINARY mode");
    }
    let single = |text: &Option<String>, default: u8, what: &str| match text.as_deref() {
        None => Ok(default),
        Some(text) => match text.as_bytes() {
            [byte] => Ok(*byte),
            _ => Err(Error::new(
                SqlState::FEATURE_NOT_SUPPORTED,
                format!("COPY {what} must be a single one-byte character"),
            )),
        },
    };
    let delimiter = single(&copy.delimiter, if csv { b',' } else { b'\t' }, "delimiter")?;
    let quote = single(&copy.quote, b'"', "quote")?;
    let escape = single(&copy.escape, quote, "escape")?;
    if matches!(delimiter, b'\n' | b'\r') {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "COPY delimiter cannot be newline or carriage return",
        ));
    }
    if !csv && (delimiter.is_ascii_alphanumeric() || matches!(delimiter, b'\\' | b'.')) {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            format!("COPY delimiter cannot be \"{}\"", delimiter as char),
        ));
    }
    if csv && delimiter == quote {
        return Err(Error::new(
            SqlState::INVALID_PARAMETER_VALUE,
            "COPY delimiter and quote must be different",
        ));
    }
    let default_null = if csv { "" } else { "\\N" };
    Ok(Planned {
        direction,
        format: copy.format,
        delimiter,
        null: copy.null.clone().unwrap_or_else(|| default_null.to_owned()),
        header: copy.header,
        quote,
        escape,
    })
}

fn column(name: &str, ty: Type) -> OutputColumn {
    OutputColumn {
        name: name.to_owned(),
        ty,
        origin: None,
    }
}

/// PostgreSQL spells some settings with capitals when it shows them.
fn shown_name(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "timezone" => "TimeZone".to_owned(),
        "datestyle" => "DateStyle".to_owned(),
        "intervalstyle" => "IntervalStyle".to_owned(),
        other => other.to_owned(),
    }
}

fn shows_a_name(ty: &Type) -> bool {
    match ty {
        Type::Array(element) => shows_a_name(element),
        ty => matches!(
            ty,
            Type::Regclass
                | Type::Regtype
                | Type::Regproc
                | Type::Regprocedure
                | Type::Regnamespace
                | Type::Regrole
        ),
    }
}
