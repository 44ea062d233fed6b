<resource schema="jpastest">
  <meta name="title">Test rows</meta><meta name="description">Rows for a test.</meta>
  <meta name="creationDate">2026-01-01T00:00:00Z</meta><meta name="subject">surveys</meta>
  <table id="zpix" onDisk="True" adql="True">
    <index columns="targetid"/>
    <column name="targetid" type="bigint" required="True"/>
    <column name="healpix" type="integer" required="True"/>
    <column name="target_ra" type="double precision" unit="deg"/>
    <column name="target_dec" type="double precision" unit="deg"/>
    <column name="z" type="double precision"/>
    <column name="zwarn" type="integer" required="True"/>
    <column name="spectype" type="text"/>
  </table>
  <data id="import"><sources pattern="rows.csv"/><csvGrammar/>
    <make table="zpix"><rowmaker idmaps="*"/></make></data>
</resource>
