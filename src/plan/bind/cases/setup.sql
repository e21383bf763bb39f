CREATE TABLE departments (id int PRIMARY KEY, name text NOT NULL);
CREATE TABLE employees (id serial PRIMARY KEY, name varchar(40) NOT NULL, department_id int REFERENCES departments, salary numeric(10,2) DEFAULT 0, hired date DEFAULT CURRENT_DATE, manager int, active bool NOT NULL DEFAULT true, email text UNIQUE, CHECK (salary >= 0));
CREATE TABLE plain (a int, b text);
CREATE TABLE "Mixed" ("Id" bigint GENERATED ALWAYS AS IDENTITY, "Value" float8, stamp timestamptz DEFAULT now(), ts timestamp, doc jsonb, tags char(3), u uuid, t time, i interval, s smallint, r real, bin bytea, PRIMARY KEY ("Id"));
CREATE TABLE pairs (x int, y int, z text, PRIMARY KEY (x, y), UNIQUE (z));
CREATE UNIQUE INDEX pairs_partial ON pairs (y) WHERE x > 0;
CREATE INDEX pairs_lower ON pairs (lower(z));
