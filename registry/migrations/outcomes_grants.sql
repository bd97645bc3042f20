-- Who may do what with what came true. Run after every change of its tables, by whoever makes it.
-- What is not granted here is refused: a new table is nobody's until it has its lines here.
REVOKE ALL ON baton_outcomes_schema, baton_outcomes, baton_outcomes_by_date
    FROM PUBLIC, baton_writer, baton_node, baton_worker, baton_log;

-- Nodes take feedback, the worker and the commands fetch what came true: all of them add, and see
-- what stands. Nobody changes what was told.
GRANT SELECT ON baton_outcomes_schema, baton_outcomes, baton_outcomes_by_date
    TO baton_log, baton_writer, baton_worker;
GRANT INSERT ON baton_outcomes, baton_outcomes_by_date TO baton_log, baton_writer, baton_worker;
-- The monitor and the commands forget it with its prediction; what is told of a date stays.
GRANT DELETE ON baton_outcomes TO baton_writer;
