La profesora le dio un mapa antiguo al alumno.
El alumno le dio un mapa antiguo a la profesora.
Omar le vendió su bicicleta a Lena por cuarenta euros.
Lena le vendió su bicicleta a Omar por cuarenta euros.
El tren de Berlín llegó con dos horas de retraso.
El tren a Berlín llegó con dos horas de retraso.
En el hospital del pueblo trabajan dos médicos y cinco enfermeras.
En el hospital del pueblo trabajan cinco médicos y dos enfermeras.
El perro persiguió al gato por el jardín.
El gato persiguió al perro por el jardín.
María se mudó de Madrid a Lisboa el año pasado.
María se mudó de Lisboa a Madrid el año pasado.
Mi hermano cocina mejor que mi hermana.
Mi hermana cocina mejor que mi hermano.
El museo abre todos los días excepto el lunes.
El museo solo abre el lunes.
La niña es más alta que su hermano, pero menor que él.
La niña es más baja que su hermano, pero mayor que él.
Después de la lluvia, los niños jugaron al fútbol en el parque.
Antes de la lluvia, los niños jugaron al fútbol en el parque.
El granjero tiene treinta ovejas y doce cabras.
El granjero tiene treinta cabras y doce ovejas.
Ravi olvidó su paraguas en la oficina, así que se mojó.
Ravi llevó su paraguas a la oficina, así que no se mojó.
La panadería de la esquina cierra a las seis de la tarde.
La panadería de la esquina abre a las seis de la tarde.
El director le escribió una larga carta a la ministra.
La ministra le escribió una larga carta al director.
Ayer hizo más frío en Moscú que en Estambul.
Ayer hizo más frío en Estambul que en Moscú.
Nadie en la clase resolvió el último problema.
Todos en la clase resolvieron el último problema.
Unos soldados construyeron el viejo puente de piedra en 1850.
Unos soldados construyeron el viejo puente de piedra en 1580.
La tienda vende pescado fresco el martes y el viernes.
La tienda compra pescado fresco el martes y el viernes.
Su abuelo habla árabe y francés, pero no inglés.
Su abuelo habla árabe e inglés, pero no francés.
El avión aterrizó sin peligro aunque había fallado un motor.
El avión no aterrizó sin peligro porque había fallado un motor.
La enfermera agradeció las flores al médico.
El médico agradeció las flores a la enfermera.
Tres de las diez ventanas están rotas.
Tres de las diez ventanas no están rotas.
El león le tiene miedo al ratón.
El león le da miedo al ratón.
Primero tomamos café y después fuimos al cine.
Primero fuimos al cine y después tomamos café.
La caja roja está debajo de la caja azul.
La caja azul está debajo de la caja roja.
El hotel es barato, pero está lejos de la playa.
El hotel es caro, pero está cerca de la playa.
El vecino le pidió prestada una escalera a mi tío.
Mi tío le pidió prestada una escalera al vecino.
Ella visita a sus padres dos veces al mes.
Sus padres la visitan dos veces al mes.
El chico que lee el periódico es mi primo.
El chico está leyendo el periódico de mi primo.
El vuelo de El Cairo a Nairobi dura cinco horas.
El vuelo de Nairobi a El Cairo dura cinco horas.
Anna Weber nació en Hamburgo en 1984.
Estudió biología en la Universidad de Helsinki.
Hoy trabaja para la Fundación Océano Azul y vive en Noruega.
El Hotel Amanecer de Mombasa tiene ochenta habitaciones.
Fue construido en 1996 por el ingeniero Juma Otieno.
La mayoría de los huéspedes vienen de Italia.
Mehmet Aydin abrió una pequeña librería en Esmirna.
La tienda vende mapas antiguos y libros sobre el mar.
El sábado su hija Elif lee cuentos a los niños allí.
En primavera Irina Petrova viajó de Kazán a Pekín en tren.
El viaje duró seis días.
Escribió sobre él para el periódico Luz del Norte.
Carlos Romero juega al fútbol en el club Deportivo Sol.
La temporada pasada marcó diecisiete goles.
Su entrenador, Diego Paz, es de Uruguay.
El pueblo de Kijani está al pie del monte Meru.
Sus habitantes cultivan café y plátanos.
En 2011 la organización Agua Limpia excavó un pozo allí.
Priya Sharma es médica en el Hospital Loto de Bombay.
Atiende a niños con problemas de corazón.
Su marido Arjun enseña matemáticas en una escuela.
Layla Hassan fundó la empresa Estrella del Desierto en Amán.
La empresa fabrica lámparas solares.
El primer año vendió nueve mil lámparas a clientes de Egipto.
El pintor Li Wen vive en una isla cerca de Shanghái.
Pinta pájaros y barcos de pesca.
Su cuadro más grande está en el Museo del Jade.
Siti Rahma cría abejas detrás de su casa en Bandung.
Cada año recoge sesenta litros de miel.
La vende al restaurante Jardín Dorado.
La biblioteca de Oporto estuvo cerrada dos años a causa de un incendio.
La arquitecta Sofia Mendes diseñó el nuevo edificio.
Volvió a abrir en mayo con dinero del Banco del Puerto.
Jonas Berg navegó solo desde Islandia hasta Canadá.
Su barco medía solo siete metros de largo.
En el camino vio ballenas y perdió su radio.
La cantante Amina Diallo recibió un premio en Dakar.
Su canción trata de un pescador que no sabe nadar.
El disco fue producido por Baobab Music.
Viktor Orlov repara relojes antiguos en San Petersburgo.
Su reloj más viejo fue fabricado en Suiza en 1790.
El invierno pasado el Museo de la Ciudad compró tres de sus relojes.
La Escuela Colina Verde de Nairobi tiene un huerto en el tejado.
Los alumnos cultivan allí tomates y judías.
La directora, Grace Wanjiru, plantó el primer árbol.
Kemal Demir conduce un autobús entre Ankara y Konya.
Empieza a trabajar a las cinco de la mañana.
Antes era cocinero en el Restaurante Palacio.
El jueves una fuerte tormenta azotó la costa de Vietnam.
El viento dañó cuatrocientas casas.
La organización Manos Amigas envió mantas y Minh Tran cocinó para todos.
Elena Rossi estudia las arañas en los bosques de Brasil.
Ha descubierto dos especies nuevas.
Una de ellas lleva el nombre de su profesor, Paulo Lima.
La empresa Nube Blanca de Lahore fabrica papel con ropa vieja.
Bilal Ahmed la dirige desde 2005.
Allí trabajan trescientas personas.
Hana Novak ganó el torneo de ajedrez de Praga.
En la final venció a Peter Lang, de Austria.
El dinero del premio venía de la empresa Torre de Plata.
