//! Requests and the statements they become.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::catalog::schema::{Action, ForeignKey, Identity, Schema};
use crate::plan::bind::{self, Binding};
use crate::plan::context::{Context, RandomState, Variables};
use crate::plan::{Plan, parse};
use crate::types::id::{ColumnId, ObjectId, TableId};
use crate::types::settings::Settings;

fn column(id: u16, name: &str, ty: Type) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        ty,
        not_null: id == 1,
        default: None,
        identity: None,
        hidden: false,
    }
}

fn test_table(id: u32, name: &str, columns: Vec<Column>) -> Table {
    Table {
        id: TableId(id),
        namespace: Namespace::Public,
        name: name.to_owned(),
        next_column: columns.len() as u16 + 1,
        columns,
        key: PrimaryKey::Declared {
            id: ObjectId(id + 100),
            name: format!("{name}_pkey"),
            columns: vec![ColumnId(1)],
            include: Vec::new(),
        },
        indexes: Vec::new(),
        foreign_keys: Vec::new(),
        checks: Vec::new(),
    }
}

fn refer(table: &mut Table, column: u16, parent: u32) {
    table.foreign_keys.push(ForeignKey {
        id: ObjectId(u32::from(column) + 200),
        name: "key".to_owned(),
        columns: vec![ColumnId(column)],
        parent: TableId(parent),
        parent_columns: vec![ColumnId(1)],
        on_delete: Action::Cascade,
        on_update: Action::Cascade,
        match_full: false,
        deferrable: false,
        initially_deferred: false,
    });
}

/// The README's tables, and one of the types that PYQL does not have.
fn schema() -> Schema {
    let int = || Type::Int8;
    let departments = test_table(
        1,
        "departments",
        vec![column(1, "id", int()), column(2, "name", Type::Text)],
    );
    let mut positions = test_table(
        2,
        "positions",
        vec![
            column(1, "id", int()),
            column(2, "name", Type::Text),
            column(3, "department_id", int()),
        ],
    );
    refer(&mut positions, 3, 1);
    let mut employees = test_table(
        3,
        "employees",
        vec![
            column(1, "id", int()),
            column(2, "name", Type::Text),
            column(3, "position_id", int()),
        ],
    );
    refer(&mut employees, 3, 2);
    let mut stocks = test_table(
        4,
        "stocks",
        vec![
            column(1, "order_num", int()),
            column(2, "trans", Type::Text),
            column(3, "price", Type::Float8),
            column(4, "after_hours", Type::Bool),
            column(5, "raw", Type::Bytea),
            column(6, "extra", Type::Jsonb),
        ],
    );
    stocks.columns[0].identity = Some(Identity {
        always: false,
        sequence: ObjectId(300),
    });
    let kinds = test_table(
        5,
        "kinds",
        vec![
            column(1, "a", Type::Int2),
            column(2, "b", Type::Varchar(Some(3))),
            column(3, "c", Type::Char(Some(3))),
            column(4, "d", Type::Numeric(Some((10, 2)))),
            column(5, "e", Type::Timestamptz(Some(3))),
            column(6, "f", Type::Date),
            column(7, "g", Type::Uuid),
            column(8, "h", Type::INTERVAL),
            column(9, "i", Type::Float4),
            column(10, "j", Type::Json),
            column(11, "k", Type::TIME),
        ],
    );
    let mut schema = Schema::empty();
    for table in [departments, positions, employees, stocks, kinds] {
        schema.tables.insert(table.id, Arc::new(table));
    }
    schema
}

fn json(text: &str) -> Json {
    Json::parse(text.as_bytes()).unwrap()
}

fn with_io<T>(run: impl FnOnce(Io<'_>) -> T) -> T {
    let settings = Settings::default();
    run(Io {
        settings: &settings,
        transaction_time: 0,
    })
}

struct NoVariables;

impl Variables for NoVariables {
    fn get(&self, _: &str) -> Option<String> {
        None
    }
}

/// Plans a statement as the session does.
fn planned(schema: &Arc<Schema>, translation: &Translation) -> Result<Plan> {
    let context = Context {
        settings: Arc::new(Settings::default()),
        transaction_time: 0,
        statement_time: 0,
        user: "demo".into(),
        database: "company".into(),
        database_oid: 0,
        schema: schema.clone(),
        system: Arc::new(Schema::default()),
        users: Arc::default(),
        random: Mutex::new(RandomState(0)),
        sequences: None,
        variables: Arc::new(NoVariables),
    };
    let binding = Binding {
        schema,
        system: &context.system.clone(),
        context: &context,
    };
    let mut parsed = parse::parse(&translation.sql)?;
    assert_eq!(parsed.len(), 1, "{}", translation.sql);
    bind::plan(&parsed.remove(0), &binding, &translation.types)
}

/// The statement, parameters in place of their numbers, keys after a bar.
fn shown(result: Result<Translation>) -> String {
    match result {
        Ok(translation) => {
            let plan = planned(&Arc::new(schema()), &translation)
                .unwrap_or_else(|error| panic!("{error:?}: {}", translation.sql));
            let given: Vec<Type> = translation.types.iter().flatten().cloned().collect();
            assert_eq!(plan.parameters, given, "{}", translation.sql);
            assert_eq!(plan.columns.len(), translation.keys.len());
            let mut text = translation.sql;
            for (number, value) in translation.parameters.iter().enumerate().rev() {
                let value = match value {
                    Value::Text(text) => format!("«{text}»"),
                    Value::Int(value) => value.to_string(),
                    Value::Jsonb(text) => format!("Jsonb({text})"),
                    Value::Json(text) => format!("Json({text})"),
                    other => format!("{other:?}"),
                };
                text = text.replace(&format!("${}", number + 1), &value);
            }
            let mut text = text.replace("public.", "").replace('"', "");
            if !translation.keys.is_empty() {
                text.push_str(" | ");
                text.push_str(&translation.keys.join(" "));
            }
            text
        }
        Err(error) => error.state().to_string(),
    }
}

fn selected(name: &str, body: &str) -> String {
    let schema = schema();
    let table = table(&schema, name).unwrap();
    with_io(|io| shown(select(&schema, table, &json(body), io)))
}

#[test]
fn joins_and_their_keys() {
    let cases = [
        (
            "employees",
            r#"{"select":["*"]}"#,
            "SELECT employees.id, employees.name, employees.position_id FROM employees ORDER BY employees.id | id name position_id",
        ),
        (
            "employees",
            r#"{"select":"*","join":"positions"}"#,
            "SELECT employees.id, employees.name, employees.position_id, positions.name, positions.department_id FROM employees JOIN positions ON employees.position_id = positions.id ORDER BY employees.id, positions.id | employees.id employees.name employees.position_id positions.name positions.department_id",
        ),
        (
            "positions",
            r#"{"select":["*"],"join":{"departments":{"departments.id":"positions.department_id"}}}"#,
            "SELECT positions.id, positions.name, positions.department_id, departments.id, departments.name FROM positions JOIN departments ON departments.id = positions.department_id ORDER BY positions.id, departments.id | positions.id positions.name positions.department_id departments.id departments.name",
        ),
        (
            "employees",
            r#"{"select":["positions.name","position_id"],"join":{"positions":{"employees.position_id":"positions.id"},"departments":{"positions.department_id":"departments.id"}}}"#,
            "SELECT positions.name, employees.position_id FROM employees JOIN positions ON employees.position_id = positions.id JOIN departments ON positions.department_id = departments.id ORDER BY employees.id, positions.id, departments.id | positions.name position_id",
        ),
        (
            "employees",
            r#"{"select":["departments.name"],"join":{"departments":{"positions.department_id":"departments.id"},"positions":{"employees.position_id":"positions.id"}}}"#,
            "SELECT departments.name FROM employees CROSS JOIN departments JOIN positions ON positions.department_id = departments.id AND employees.position_id = positions.id ORDER BY employees.id, departments.id, positions.id | departments.name",
        ),
    ];
    for (table, body, expected) in cases {
        assert_eq!(selected(table, body), expected, "{body}");
    }
}

#[test]
fn wrong_selects() {
    let cases = [
        (
            "employees",
            r#"{"select":["name"],"join":"positions"}"#,
            "42702",
        ),
        (
            "positions",
            r#"{"select":["*"],"join":"employees"}"#,
            "42830",
        ),
        ("employees", r#"{"select":["*"],"join":"nope"}"#, "42P01"),
        (
            "employees",
            r#"{"select":["*"],"join":["positions"]}"#,
            "42601",
        ),
        (
            "employees",
            r#"{"select":["*"],"join":{"positions":{}}}"#,
            "42601",
        ),
        (
            "employees",
            r#"{"select":["*"],"join":{"employees":{"employees.id":"employees.id"}}}"#,
            "42712",
        ),
        (
            "employees",
            r#"{"select":["*"],"join":{"positions":{"position_id":"id"}}}"#,
            "42703",
        ),
        (
            "employees",
            r#"{"select":["*"],"join":{"positions":{"employees.nope":"positions.id"}}}"#,
            "42703",
        ),
        (
            "employees",
            r#"{"select":["department_id"],"join":"positions"}"#,
            "42703",
        ),
        ("employees", r#"{"select":[]}"#, "42601"),
        ("employees", r#"{"select":[1]}"#, "42601"),
        ("employees", r#"{"where":{}}"#, "42601"),
        ("employees", "[]", "42601"),
        ("employees", r#"{"select":["nope"]}"#, "42703"),
    ];
    for (table, body, expected) in cases {
        assert_eq!(selected(table, body), expected, "{body}");
    }
}

fn filtered(condition: &str) -> String {
    let text = selected(
        "stocks",
        &format!(r#"{{"select":["price"],"where":{condition}}}"#),
    );
    let start = text.find(" WHERE ").map(|at| at + 7);
    let end = text.find(" ORDER BY ").unwrap_or(text.len());
    text[start.unwrap_or(0)..end].replace("stocks.", "")
}

#[test]
fn conditions_become_tests_with_parameters() {
    let cases = [
        ("{}", "SELECT price FROM stocks"),
        ("[]", "SELECT price FROM stocks"),
        (
            r#"{"order_num":1,"trans":null}"#,
            "order_num = 1 AND trans IS NULL",
        ),
        (r#"{"stocks.order_num":"1000"}"#, "order_num = 1000"),
        (r#"{"order_num":1000.0}"#, "order_num = 1000"),
        (r#"{"order_num":true}"#, "order_num = 1"),
        (r#"{"order_num":"abc"}"#, "22P02"),
        (r#"{"order_num":[1]}"#, "42804"),
        (r#"{"after_hours":"True"}"#, "after_hours = Bool(true)"),
        (r#"{"after_hours":0}"#, "after_hours = Bool(false)"),
        (r#"{"after_hours":2}"#, "42804"),
        (
            r#"{"trans":{"b":1,"a":"é"}}"#,
            "trans = «{\"b\": 1, \"a\": \"\\u00e9\"}»",
        ),
        (r#"{"trans":5}"#, "trans = «5»"),
        (r#"{"trans":true}"#, "trans = «True»"),
        (r#"{"trans":"x' OR '1'='1"}"#, "trans = «x' OR '1'='1»"),
        (r#"{"raw":"AQI="}"#, "raw = Bytes([1, 2])"),
        (r#"{"raw":"*"}"#, "22P02"),
        (
            r#"[{"price":1},["order_num","==","7"],["trans","!=","a"]]"#,
            "price = Float(1.0) AND order_num = 7 AND trans <> «a»",
        ),
        (r#"[["trans","=",null]]"#, "trans = Null"),
        (
            r#"[["order_num","in",[1,"2",null]]]"#,
            "order_num IN (1, 2, Null)",
        ),
        (r#"[["order_num","not in",[1]]]"#, "order_num NOT IN (1)"),
        (r#"[["order_num","in",[]]]"#, "FALSE"),
        (r#"[["order_num","in",1]]"#, "42601"),
        (r#"[["trans","like","*a_b*"]]"#, "trans LIKE «%a\\_b%»"),
        (r#"[["trans","like","50%"]]"#, "trans LIKE «%50\\%%»"),
        (r#"[["trans","not like","a*"]]"#, "trans NOT LIKE «a%»"),
        (
            r#"[["order_num","like","1*"]]"#,
            "order_num::text LIKE «1%»",
        ),
        (r#"[["trans","like",1]]"#, "42601"),
        (r#"[["trans","LIKE","a"]]"#, "42601"),
        (r#"[["trans","="]]"#, "42601"),
        (r#"["trans"]"#, "42601"),
        (r#""trans""#, "42601"),
        ("null", "42601"),
        (r#"{"nope":1}"#, "42703"),
        (r#"{"employees.id":1}"#, "42703"),
    ];
    for (condition, expected) in cases {
        assert_eq!(
            filtered(condition).replace('"', ""),
            expected.replace('"', ""),
            "{condition}"
        );
    }
}

#[test]
fn whole_numbers_compare_with_fractions() {
    let schema = schema();
    let stocks = table(&schema, "stocks").unwrap();
    let body = json(r#"{"select":["price"],"where":[["order_num",">",1.5]]}"#);
    let translation = with_io(|io| select(&schema, stocks, &body, io)).unwrap();
    assert_eq!(translation.types, [Some(Type::NUMERIC)]);
}

#[test]
fn writes() {
    let schema = schema();
    let stocks = table(&schema, "stocks").unwrap();
    let row = |text: &str| with_io(|io| shown(insert(stocks, &json(text), io)));
    let change = |text: &str| with_io(|io| shown(update(stocks, &json(text), io)));
    let remove = |text: &str| with_io(|io| shown(delete(stocks, &json(text), io)));
    let cases = [
        (
            row(r#"{"trans":{"a":[]},"price":33.16,"after_hours":null,"extra":{"b":1}}"#),
            "INSERT INTO stocks (trans, price, after_hours, extra) VALUES («{a: []}», Float(33.16), Null, Jsonb({b: 1}))",
        ),
        (
            row(r#"{"order_num":null}"#),
            "INSERT INTO stocks DEFAULT VALUES",
        ),
        (
            row(r#"{"order_num":7}"#),
            "INSERT INTO stocks (order_num) VALUES (7)",
        ),
        (row(r#"{"order_num":7.5}"#), "22P02"),
        (row(r#"{"afterHours":true}"#), "42703"),
        (row("[{}]"), "42601"),
        (row("{\"trans\":\"a\\u0000\"}"), "22021"),
        (
            change(r#"{"set":{"price":null,"trans":"a"},"where":{"order_num":1}}"#),
            "UPDATE stocks SET price = Null, trans = «a» WHERE stocks.order_num = 1",
        ),
        (change(r#"{"set":{"price":1}}"#), "42601"),
        (change(r#"{"set":{"price":1},"where":{}}"#), "42601"),
        (change(r#"{"set":{},"where":{"order_num":1}}"#), "42601"),
        (
            remove(r#"{"where":[["order_num","<",3]]}"#),
            "DELETE FROM stocks WHERE stocks.order_num < 3",
        ),
        (remove("{}"), "42601"),
        (remove(r#"{"where":[]}"#), "42601"),
        (remove(r#"{"where":{"nope":1}}"#), "42703"),
        (
            with_io(|io| shown(delete_key(stocks, " 7", io))),
            "DELETE FROM stocks WHERE stocks.order_num = 7",
        ),
        (with_io(|io| shown(delete_key(stocks, "abc", io))), "22P02"),
        (
            with_io(|io| shown(update_key(stocks, "7", &json(r#"{"price":1}"#), io))),
            "UPDATE stocks SET price = Float(1.0) WHERE stocks.order_num = 7",
        ),
    ];
    for (actual, expected) in cases {
        assert_eq!(actual.replace('"', ""), expected);
    }
}

/// The types that PYQL does not have, in the forms in which rows show them.
#[test]
fn other_types() {
    let schema = schema();
    let kinds = table(&schema, "kinds").unwrap();
    let row = json(
        r#"{"a":"7","b":"abcdef","c":"x","d":1.10,"e":"2024-01-31T10:00:00+00:00",
            "f":"2024-01-31","g":"00000000-0000-0000-0000-000000000001","h":"1 day",
            "i":"NaN","j":"text","k":"10:00:01.5"}"#,
    );
    assert_eq!(
        with_io(|io| shown(insert(kinds, &row, io)))
            .split_once("(7")
            .map(|(_, rest)| rest),
        Some(
            ", «abcdef», «x», Numeric(Finite { digits: 110, scale: 2 }), \
             Timestamptz(760010400000000), Date(8796), \
             Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]), \
             Interval(Interval { months: 0, days: 1, microseconds: 0 }), Float(NaN), \
             Json(text), Time(36001500000))"
        )
    );
    for (name, value) in [
        ("a", "40000"),
        ("d", "\"x\""),
        ("e", "5"),
        ("f", "\"2024-02-30\""),
        ("g", "\"1\""),
        ("h", "true"),
        ("k", "{}"),
    ] {
        let row = json(&format!("{{\"{name}\":{value}}}"));
        let error = with_io(|io| insert(kinds, &row, io)).unwrap_err();
        assert_eq!(error.report().column.as_deref(), Some(name));
    }
    let body = json(
        r#"{"select":["a"],"where":[["b","=","x"],["c","in",["a"]],["d",">",5],["a","<",99999],
            ["e","<","2024-01-31T10:00:00Z"],["h","=","1 day"],["i","<>",1.5],["f","like","2024*"]]}"#,
    );
    let translation = with_io(|io| select(&schema, kinds, &body, io)).unwrap();
    planned(&Arc::new(schema), &translation).unwrap();
}

#[test]
fn conditions_hold_for_rows() {
    let schema = schema();
    let departments = table(&schema, "departments").unwrap();
    let scope = Scope::of(departments);
    let row = [Value::Int(7), Value::text("Sales")];
    let cases = [
        (r#"{"id":7,"name":"Sales"}"#, true),
        (r#"{"id":"8"}"#, false),
        (r#"{"name":null}"#, false),
        (r#"[["id",">=",7],["id","<",8],["id","!=",9]]"#, true),
        (r#"[["id","=",null]]"#, false),
        (r#"[["id","in",[6,7]]]"#, true),
        (r#"[["id","not in",[6]]]"#, true),
        (r#"[["id","not in",[6,null]]]"#, false),
        (r#"[["id","in",[]]]"#, false),
        (r#"[["name","like","ale"]]"#, true),
        (r#"[["name","like","S*s"]]"#, true),
        (r#"[["name","like","S*a"]]"#, false),
        (r#"[["name","not like","*x*"]]"#, true),
    ];
    for (condition, expected) in cases {
        let conditions = with_io(|io| conditions(&json(condition), &scope, io)).unwrap();
        let holds = conditions.iter().all(|condition| condition.holds(&row));
        assert_eq!(holds, expected, "{condition}");
    }
}

#[test]
fn table_descriptions() {
    let column = |mods: &str| {
        format!(
            r#"{{"t":{{"columns":[{{"name":"id","type":"int","mods":"{mods}"}},{{"name":"a","type":"str","mods":""}}],"primary_key":"id","foreign_keys":null}}}}"#
        )
    };
    let head = "CREATE TABLE public.\"t\" (\"id\" bigint";
    let tail = ", \"a\" text, PRIMARY KEY (\"id\"))";
    for mods in [
        "NOT NULL AUTO_INCREMENT",
        "AUTOINCREMENT NOT NULL",
        "auto_increment  not null",
        "NOT NULL PRIMARY KEY AUTOINCREMENT UNIQUE",
    ] {
        let (name, sql) = create_table(&json(&column(mods))).unwrap();
        let sql = sql.replace(" NOT NULL", "");
        assert_eq!(name, "t");
        assert_eq!(
            sql,
            format!("{head} GENERATED BY DEFAULT AS IDENTITY{tail}")
        );
    }
    let cases = [
        ("DEFAULT 5 NOT NULL", Ok(" DEFAULT '5' NOT NULL")),
        ("DEFAULT 'it''s; x'", Ok(" DEFAULT 'it''s; x'")),
        ("DEFAULT NULL", Ok("")),
        ("CHECK (1)", Err("0A000")),
        ("DEFAULT now()", Err("0A000")),
        ("DEFAULT 'a", Err("42P16")),
        ("); DROP TABLE x; --", Err("0A000")),
    ];
    for (mods, expected) in cases {
        let expected = expected.map(|text| format!("{head}{text}{tail}"));
        let made = create_table(&json(&column(mods))).map(|(_, sql)| sql);
        let made = made.map_err(|error| error.state().to_string());
        assert_eq!(made, expected.map_err(str::to_owned), "{mods}");
    }
    for body in [
        "{}",
        "[]",
        r#"{"t":{}}"#,
        r#"{"t":{"columns":[]}}"#,
        r#"{"t":{"columns":[{"name":"a","type":"int"}]}}"#,
        r#"{"t":{"columns":[{"name":"a","type":"int"}],"primary_key":"b"}}"#,
        r#"{"t":{"columns":[{"name":"a","type":"money"}],"primary_key":"a"}}"#,
        r#"{"t":{"columns":[{"name":"a","type":"int"}],"primary_key":"a","foreign_keys":{"b":{}}}}"#,
    ] {
        assert!(create_table(&json(body)).is_err(), "{body}");
    }
    let body = r#"{"T":{"columns":[{"name":"A","type":"int"}],"primary_key":"A","foreign_keys":{"A":{"table":"p\"q","ref":"id","mods":" on delete cascade  ON UPDATE SET NULL"}}}}"#;
    assert_eq!(
        create_table(&json(body)).unwrap().1,
        "CREATE TABLE public.\"T\" (\"A\" bigint, PRIMARY KEY (\"A\"), FOREIGN KEY (\"A\") REFERENCES public.\"p\"\"q\" (\"id\") ON DELETE CASCADE ON UPDATE SET NULL)"
    );
}

#[test]
fn descriptions_are_mysql_s() {
    let schema = schema();
    let employees = describe(&schema, table(&schema, "employees").unwrap());
    assert_eq!(
        employees,
        serde_json::json!({
            "columns": [
                {"mods": "NOT NULL", "name": "id", "type": "int"},
                {"mods": "", "name": "name", "type": "str"},
                {"mods": "DEFAULT NULL", "name": "position_id", "type": "int"}
            ],
            "foreign_keys": {
                "position_id": {
                    "mods": " ON DELETE CASCADE ON UPDATE CASCADE",
                    "ref": "id",
                    "table": "positions"
                }
            },
            "primary_key": "id"
        })
    );
    let stocks = describe(&schema, table(&schema, "stocks").unwrap());
    assert_eq!(stocks["columns"][0]["mods"], "NOT NULL AUTO_INCREMENT");
    assert_eq!(stocks["columns"][4]["type"], "blob");
}
