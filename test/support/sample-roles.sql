SET client_min_messages = warning;

-- Roles belong to the server, not to the database: another database may have made them already, or makes them now.
DO $$
DECLARE name text;
BEGIN
  FOREACH name IN ARRAY ARRAY['sample_owner', 'sample_reader', 'Sample "Writer"'] LOOP
    BEGIN
      EXECUTE format('CREATE ROLE %I', name);
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
      NULL;
    END;
  END LOOP;
END $$;
