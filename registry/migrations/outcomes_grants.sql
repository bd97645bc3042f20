-- Who may do what with what came true. Run after every change of its tables, by whoever makes it.
-- What is not granted here is refused: a new table is nobody's until it has its lines here.
REVOKE ALL ON baton_outcomes_schema, baton_outcomes, baton_outcomes_by_date
    FROM PUBLIC, baton_writer, baton_node, baton_worker;

-- All of ours read them; nobody changes or deletes what was told.
GRANT SELECT ON baton_outcomes_schema, baton_outcomes, baton_outcomes_by_date
    TO baton_writer, baton_node, baton_worker;

-- The nodes take feedback, the workers fetch what came true.
GRANT INSERT ON baton_outcomes, baton_outcomes_by_date TO baton_node, baton_worker;
