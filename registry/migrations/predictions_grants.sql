-- Who may do what with the prediction log. Run after every change of its tables, by whoever makes it.
-- What is not granted here is refused: a new table is nobody's until it has its lines here.
REVOKE ALL ON baton_predictions_schema, baton_predictions, baton_prediction_positions,
    baton_refused_predictions FROM PUBLIC, baton_writer, baton_node, baton_worker, baton_log;
REVOKE ALL ON FUNCTION baton_predictions_day(date), baton_predictions_drop(date)
    FROM PUBLIC, baton_writer, baton_node, baton_worker, baton_log;

-- Who ships: records are put in, a day's partition is made by the owner's function, positions move.
-- What was put in cannot be changed, removed or read by it: the nodes face the world.
GRANT SELECT ON baton_predictions_schema, baton_prediction_positions TO baton_log;
GRANT INSERT ON baton_predictions, baton_refused_predictions TO baton_log;
GRANT INSERT, UPDATE (segment, read_to, at_ms) ON baton_prediction_positions TO baton_log;
GRANT EXECUTE ON FUNCTION baton_predictions_day(date) TO baton_log;
-- Who takes feedback: which predictions there are, not what was asked and answered.
GRANT SELECT (prediction_id, rows, status, time) ON baton_predictions TO baton_log;

-- The registrar, the monitor and the commands: they read, and forget what is old.
GRANT SELECT, DELETE ON baton_predictions, baton_prediction_positions, baton_refused_predictions
    TO baton_writer;
GRANT SELECT ON baton_predictions_schema TO baton_writer;
GRANT EXECUTE ON FUNCTION baton_predictions_drop(date) TO baton_writer;

-- The worker of jobs: it compares what was predicted with what came true.
GRANT SELECT ON baton_predictions_schema, baton_predictions TO baton_worker;
