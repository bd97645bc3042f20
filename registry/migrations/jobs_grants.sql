-- Who may do what with the queue of jobs. Run after every change of its tables, by whoever makes it.
-- What is not granted here is refused: a new table is nobody's until it has its lines here.
REVOKE ALL ON baton_jobs_schema, baton_jobs FROM PUBLIC, baton_writer, baton_node, baton_worker;
REVOKE ALL ON SEQUENCE baton_jobs_n_seq FROM PUBLIC, baton_writer, baton_node, baton_worker;

-- The nodes: they put jobs in, show them, and cancel them.
GRANT SELECT ON baton_jobs_schema, baton_jobs TO baton_node;
GRANT INSERT, UPDATE (state, cancelling, ended_ms) ON baton_jobs TO baton_node;
GRANT USAGE ON SEQUENCE baton_jobs_n_seq TO baton_node;

-- The workers: they take jobs and say how they go; what was asked, and by whom, stays.
GRANT SELECT ON baton_jobs_schema, baton_jobs TO baton_worker;
GRANT UPDATE (state, attempt, losses, worker, beats, step, progress, run_id, metrics, log, reason,
    result, model, version, started_ms, ended_ms) ON baton_jobs TO baton_worker;
